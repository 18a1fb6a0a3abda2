"""The ledger and the table of lengths as the terminal shows them at the end of preparation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pakar import files
from pakar.report import wording
from pakar.report.console import printable
from pakar.report.tables import FIGURES, Column, called, columns, figures
from pakar.run import Run


def summary(run: Run) -> Group:
    """Where the rows went, how long they are, and where to look next."""
    books = files.read_json(run.ledger_file)
    statistics = files.read_json_if_whole(run.statistics_file) or {}
    parts: list[RenderableType] = [Text(f"Data of run {run.recipe.name}", style="bold"), ledger(books), Text("")]
    shown = [column for column in columns(statistics) if column.unit != "characters"]
    if shown:
        parts += [lengths(shown), Text("")]
    return Group(*parts, *_notes(statistics), Text(""), *_next(run, books))


def ledger(books: Mapping[str, Any]) -> Table:
    """Rows in, rejected by reason, kept by split, changed and flagged, with shares of all rows."""
    whole = max(int(books["rows_in"]), 1)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column(style="dim", overflow="fold")

    def row(name: str, rows: int, meaning: str = "", style: str = "") -> None:
        table.add_row(name, f"{rows:,}", wording.figure(rows / whole, "share"), meaning, style=style)

    def part(title: str, counted: Mapping[str, int], meaning: Any) -> None:
        for name, rows in sorted(counted.items(), key=lambda one: (-one[1], one[0])):
            row(f"  {title} {name}", rows, meaning(name))

    row("rows in", books["rows_in"], style="bold")
    part("rejected", books["rejected"], wording.reason)
    row("kept", books["kept"], style="bold")
    for name, rows in books["splits"].items():
        row(f"  {name}", rows)
    part("changed by", books["changed"], wording.operator)
    part("flagged", books.get("flagged", {}), lambda _: "kept, for a person to look at")
    if books.get("augmented"):
        table.add_row("  re-phrased", f"{books['augmented']:,}", "", "added to train; no new evidence")
    return table


def lengths(shown: list[Column]) -> Table:
    """One column for each column of the data and unit."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    for column in shown:
        named = f"\n{printable(column.source_name)}" if any(one.source_name for one in shown) else ""
        table.add_column(Text(f"{column.name}{named}\n{column.unit}\n{column.when}"), justify="right")
    every = [figures(column.numbers) for column in shown]
    for place, name in enumerate(FIGURES):
        table.add_row(name, *(numbers[place] for numbers in every))
    return table


def _notes(statistics: Mapping[str, Any]) -> Iterator[Text]:
    if names := called(statistics):
        yield Text(printable(names.strip()))
    longest = statistics.get("longest") or {}
    if longest.get("rows"):
        yield Text(f"{wording.count(longest['rows'], 'rows')} kept of more than {longest['context_tokens']:,} tokens (model.context_tokens), "
                   f"by {longest['most_over']:,} at most.")  # fmt: skip
    shares = list(((statistics.get("languages") or {}).get("shares") or {}).items())
    if shares:
        named = ", ".join(f"{wording.language(code)} {wording.figure(share, 'share')}" for code, share in shares[:5])
        yield Text(f"Languages: {named}.")


def _next(run: Run, books: Mapping[str, Any]) -> Iterator[Text]:
    yield Text(f"Look at it:     {run.data_html}")
    if books["rejected"]:
        yield Text(f"Rejected rows:  {run.rejected_dir}")
    yield Text("Next:           pakar run goes on from here: it trains and evaluates.")
