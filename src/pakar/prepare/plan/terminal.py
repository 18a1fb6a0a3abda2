"""A plan as the terminal shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pakar.prepare.plan.content import Plan, Seen
from pakar.prepare.plan.texts import print_masks, print_ways
from pakar.report import wording
from pakar.report.console import printable

LINES = 15
"""Of the histogram, at most."""
BAR = 40


def show(found: Plan, out: Console) -> None:
    """Print a plan."""
    out.print(Text(f"Plan of run {found.name}; nothing was written", style="bold"))
    out.print(_sources(found))
    out.print(_heading("What would become of the rows", found))
    out.print(_ledger(found))
    for line in _notes(found):
        out.print(line)
    if found.tokens:
        out.print(Text("\nTokens a row, of the rows kept", style="bold"))
        for line in _histogram(found.tokens, found.context_tokens):
            out.print(line)
    out.print(Text("\nWhat it takes, about", style="bold"))
    out.print(_estimate(found))
    print_masks(found, out)
    print_ways(found, out)


def _heading(title: str, found: Plan) -> Text:
    of_all = "" if found.rows.looked_at == found.rows.expected else f", told from {found.rows.looked_at:,} of them"
    return Text(f"\n{title}{of_all}", style="bold")


def _sources(found: Plan) -> Table:
    table = _table("source", "rows", "format", "shape")
    table.columns[1].justify = "right"
    for source in found.sources:
        reading = source.reading
        fields = reading.shape.model_dump(exclude_none=True)
        kind = str(fields.pop("kind"))
        mapping = ", ".join(f"{key} = {value}" for key, value in fields.items())
        number = f"{source.rows:,}" if source.exact else f"about {_rounded(source.rows)}"
        form = f"{reading.format}{f', {reading.encoding}' if reading.encoding else ''}"
        table.add_row(*map(printable, (source.name, number, form, f"{kind}: {mapping}" if mapping else kind)))
    return table


def _ledger(found: Plan) -> Table:
    exact = found.rows.looked_at == found.rows.expected
    table = _table("", "rows looked at", *([] if exact else ["expected"]), "share", "")
    for column in table.columns[1:-1]:
        column.justify = "right"

    def row(name: str, seen: Seen, meaning: str = "", style: str = "") -> None:
        share = wording.figure(seen.expected / max(found.rows.expected, 1), "share")
        number = (
            f"{seen.expected:,}"
            if seen is found.rows and all(s.exact for s in found.sources)
            else _rounded(seen.expected)
        )
        expected = [] if exact else [number]
        table.add_row(name, f"{seen.looked_at:,}", *expected, share, Text(meaning, style="dim"), style=style)

    row("rows in", found.rows, style="bold")
    for name, seen in found.rejected.items():
        row(f"  rejected {name}", seen, wording.reason(name))
    row("kept", found.kept, style="bold")
    for name, seen in found.changed.items():
        row(f"  changed by {name}", seen, wording.operator(name))
    for name, seen in found.flagged.items():
        row(f"  flagged {name}", seen, "kept, for a person to look at")
    return table


def _notes(found: Plan) -> Iterator[Text]:
    if found.repeated:
        what = "are left out, and more of them turn up in the whole" if "repeated" in found.left_out else "stay"
        yield Text(
            f"{wording.count(found.repeated, 'rows')} looked at equal another one of them; repeated rows {what}."
        )
    if found.unlearnable:
        named = ", ".join(f"{source} row {offset:,}" for source, offset in found.unlearnable)
        yield Text(printable(f"Nothing can be learnt from some rows, all tokens of which would be masked: {named}. Training would not see them."), style="yellow")  # fmt: skip
    longest = found.longest
    if longest["rows"]:
        yield Text(f"{wording.count(longest['rows'], 'rows')} looked at are longer than the context of {found.context_tokens:,} tokens, by "
                   f"{longest['most_over']:,} at most; see model.context_tokens and prepare.too_long.", style="yellow")  # fmt: skip


def _histogram(tokens: Mapping[str, Any], limit: int) -> Iterator[Text]:
    shape = tokens["histogram"]
    step = -(-len(shape["counts"]) // LINES)
    counts = [sum(shape["counts"][place : place + step]) for place in range(0, len(shape["counts"]), step)]
    width, tallest, drawn = shape["width"] * step, max(counts), False
    for place, rows in enumerate(counts):
        start = shape["from"] + place * width
        if start > limit and not drawn:
            drawn = True
            yield Text(f"  {'':>13}  ── context: {limit:,} tokens ──", style="yellow")
        is_last = place == len(counts) - 1
        name = f"{start:,}+" if is_last and shape["open"] else f"{start:,}-{start + width - 1:,}"
        bar = "█" * max(round(BAR * rows / tallest), 1 if rows else 0)
        yield Text.assemble(f"  {name:>13}  ", (bar, "yellow" if start > limit else "cyan"), f" {rows:,}")


def _estimate(found: Plan) -> Table:
    made = found.estimate
    table = _table("", "", "")
    table.show_header = False
    rest = f"{' and '.join(found.left_out)} rows still to be taken off" if found.left_out else ""
    table.add_row("rows kept", _rounded(made.rows), rest)
    table.add_row("tokens", _rounded(made.tokens), "")
    of_each = "" if made.workers == 1 else f" in each of {made.workers} processes"
    table.add_row("time", wording.minutes(made.seconds), f"{made.rows_a_second:,.0f} rows a second{of_each}")
    table.add_row("disk", _bytes(made.disk_bytes), "examples and token shards")
    return table


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _rounded(number: int) -> str:
    """Three figures: an estimate must not look like a count.

    >>> _rounded(1234567), _rounded(987)
    ('1,230,000', '987')
    """
    return f"{float(f'{number:.3g}'):,.0f}"


def _bytes(number: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number} bytes"
