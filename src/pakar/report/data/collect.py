"""Run directory → DataPage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from pakar import files, text
from pakar.report import diff, ledger, wording
from pakar.report.data.content import Change, Changed, DataPage, Flag, Loss, Pair, SourceRows, Speed
from pakar.report.ledger import masked, rejected_row
from pakar.run import Run

EXCERPT = 320
"""Characters of a row that are shown."""
FIRST, LAST = ("read",), ("empty", "context", "duplicates", "near-duplicates", "sample")
"""Who handles rows before and after the operators of the recipe, in order."""


def collect(run: Run) -> DataPage | None:
    """Read what preparation has left; None if it has not finished."""
    books, record = ledger.read(run), files.read_json_if_whole(run.stage_dir("prepare") / "stage.json")
    if books is None or record is None:
        return None
    order = [*FIRST, *(section.kind for section in run.recipe.prepare.operators), *LAST]
    statistics = files.read_json_if_whole(run.statistics_file) or {}
    raw, shown = files.read_json(run.ledger_file), ledger.shown(run)
    return DataPage(
        name=run.recipe.name,
        ledger=books,
        losses=tuple(_losses(run, shown.get("rejected", ()), order)),
        changed=tuple(_changed(raw["changed"], shown.get("changed", {}), order)),
        flags=tuple(_flags(raw.get("flagged", {}), shown.get("flagged", {}))),
        pairs=tuple(_pairs(shown.get("pairs", ()))),
        statistics=statistics,
        sources=_sources(run, statistics.get("sources") or ()),
        speeds=tuple(_speeds(files.read_json_if_whole(run.timings_file) or {}, order)),
        seconds=float(record["seconds"]),
        names_hidden=any(section.kind == "person-names" for section in run.recipe.prepare.operators),
    )


def _losses(run: Run, rows: Sequence[Mapping[str, Any]], order: Sequence[str]) -> Iterator[Loss]:
    paths = sorted(run.rejected_dir.glob("*.parquet"))
    if not paths:
        return
    counted = pl.scan_parquet(paths).group_by("operator", "reason").len().collect()
    for operator, reason, count in sorted(
        counted.iter_rows(), key=lambda one: (_place(order, one[0]), -one[2], one[1])
    ):
        same = [row for row in rows if (row["operator"], row["reason"]) == (operator, reason)]
        examples = tuple(rejected_row(row, EXCERPT) for row in same)
        yield Loss(operator, reason, int(count), wording.reason(reason), examples)


def _changed(rows: Mapping[str, int], shown: Mapping[str, Any], order: Sequence[str]) -> Iterator[Changed]:
    for name in sorted(rows, key=lambda name: (_place(order, name), name)):
        examples = tuple(
            Change(Path(one["source"] or "").name, int(one["offset"]), _pieces(one["before"], one["after"]))
            for one in shown.get(name, ())
        )
        yield Changed(name, int(rows[name]), wording.operator(name), examples)


def _flags(rows: Mapping[str, int], shown: Mapping[str, Any]) -> Iterator[Flag]:
    for name, count in sorted(rows.items(), key=lambda one: (-one[1], one[0])):
        examples = tuple(
            (Path(one["source"] or "").name, int(one["offset"]), text.shorten(masked(one["text"]), EXCERPT))
            for one in shown.get(name, ())
        )
        yield Flag(name, int(count), examples)


def _pairs(rows: Iterable[Mapping[str, Any]]) -> Iterator[Pair]:
    for row in rows:
        kept = Path(row["kept_source"] or "").name
        yield Pair(rejected_row(row, EXCERPT), _pieces(row["before"], row["after"]), kept, int(row["kept_offset"]))


def _sources(run: Run, rows: Iterable[Mapping[str, int]]) -> tuple[SourceRows, ...]:
    named = zip(run.recipe.prepare.sources, rows, strict=False)
    return tuple(SourceRows(Path(source.path).name or source.path, **found) for source, found in named)


def _speeds(timings: Mapping[str, Any], order: Sequence[str]) -> Iterator[Speed]:
    found = timings.get("operators", {})
    for name in sorted(
        found, key=lambda name: (_place([*order[:-3], "tokenise", "keys", "statistics", *order[-3:]], name), name)
    ):
        seconds = float(found[name]["seconds"])
        if seconds > 0:
            yield Speed(name, seconds, found[name]["rows"] / seconds)


def _pieces(before: str, after: str) -> tuple[diff.Piece, ...]:
    return tuple(diff.words(masked(before), masked(after)))


def _place(order: Sequence[str], name: str) -> int:
    """Where an operator stands; one that is not known comes with those of the recipe."""
    return order.index(name) if name in order else len(order) - len(LAST)
