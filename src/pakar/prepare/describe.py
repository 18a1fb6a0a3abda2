"""The content of statistics.json: lengths, before and after; languages, duplicates, over-long rows, sources, labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from pakar.conversation import SPLITS
from pakar.prepare import statistics
from pakar.prepare.executor import Report
from pakar.prepare.frames import content
from pakar.prepare.sources import Reading
from pakar.recipe import PairsShape, TextShape
from pakar.run import Run

LANGUAGE_ROWS = 2_000
"""Rows whose language is told, at most."""
SURE = 0.5
"""A language that is less probable counts as `unsure`."""


class Facts(NamedTuple):
    """What the steps of preparation told.

    Attributes:
        cleaned: Reports of the first step, all of them.
        gathered: Reports of the last step.
        kept: Number of the source → rows kept.
        rejected: Reason → rows.
        context_tokens: Longest example.
    """

    cleaned: Sequence[Report]
    gathered: Sequence[Report]
    kept: Mapping[int, int]
    rejected: Mapping[str, int]
    context_tokens: int


def describe(run: Run, readings: Sequence[Reading], facts: Facts) -> dict[str, Any]:
    """The content of statistics.json.

    Args:
        run: Its examples are written.
        readings: How each source was read.
        facts: See `Facts`.
    """
    counts = [report["counts"] for report in facts.gathered]
    columns = statistics.added(part["columns"] for part in counts)
    rows = statistics.added({"text": {"tokens": part["rows"]}} for part in counts)["text"]["tokens"]
    before = statistics.added(report["before"] for report in facts.cleaned)
    return {
        "columns": statistics.described(columns),
        "before": {"columns": statistics.described(before)},
        "names": _names(readings),
        "rows": {"tokens": statistics.described({"text": {"tokens": rows}})["text"]["tokens"]},
        "longest": {
            "context_tokens": facts.context_tokens,
            **statistics.over(rows, facts.context_tokens),
            "rejected": sum(facts.rejected.get(reason, 0) for reason in ("too_long", "prompt_too_long")),
        },
        "languages": languages(run),
        "duplicates": {
            "equal": facts.rejected.get("duplicate", 0),
            "near": facts.rejected.get("near_duplicate", 0),
        },
        "sources": _sources(facts, len(readings)),
        "labels": _labels(facts, counts),
    }


def languages(run: Run) -> dict[str, Any]:
    """Shares of languages in a sample of the rows kept; the sample is drawn by seed and content.

    Returns:
        `rows` looked at, `shares` of them by ISO 639-1 code, largest first; `unsure` where it cannot be told.
    """
    texts = _sample(run)
    if texts.is_empty():
        return {"rows": 0, "shares": {}}
    # What tells languages apart is loaded only here and by the operator.
    from pakar.prepare.operators.language import detect  # noqa: PLC0415

    sure = pl.when(pl.col("certainty") >= SURE).then("language").fill_null("unsure")
    found = detect(texts).select(sure.fill_null("unsure").alias("language")).group_by("language").len()
    ordered = sorted(found.iter_rows(), key=lambda one: (-one[1], one[0]))
    return {"rows": len(texts), "shares": {name: rows / len(texts) for name, rows in ordered}}


def _sample(run: Run) -> pl.Series:
    """Texts of the first rows of every split, in proportion to its size: the files are in a seeded order."""
    tables = {}
    for name in SPLITS:
        paths = sorted(run.examples_dir(name).glob("*.parquet"))
        if paths:
            tables[name] = pl.scan_parquet(paths).filter(~pl.col("augmented"))
    sizes = {name: int(table.select(pl.len()).collect().item()) for name, table in tables.items()}
    share = min(1.0, LANGUAGE_ROWS / max(sum(sizes.values()), 1))
    parts = [
        table.head(round(share * sizes[name])).select(content().alias("text")).collect()
        for name, table in tables.items()
    ]
    return pl.concat(parts)["text"] if parts else pl.Series("text", [], pl.String)


def _names(readings: Iterable[Reading]) -> dict[str, list[str]]:
    """Column → what the sources call it."""
    found: dict[str, list[str]] = {}
    for reading in readings:
        named: dict[str, str] = {}
        if isinstance(reading.shape, PairsShape):
            named = {"question": reading.shape.question, "answer": reading.shape.answer}
        elif isinstance(reading.shape, TextShape) and reading.columns:
            named = {"text": reading.shape.column}
        for column, name in named.items():
            if name not in found.setdefault(column, []):
                found[column].append(name)
    return found


def _sources(facts: Facts, count: int) -> list[dict[str, int]]:
    """Rows in, kept and rejected, in the order of the recipe's sources."""
    rows_in = [0] * count
    for report in facts.cleaned:
        rows_in[int(report["source"])] += int(report["rows"])
    kept = [int(facts.kept.get(number, 0)) for number in range(count)]
    return [{"rows_in": i, "kept": k, "rejected": i - k} for i, k in zip(rows_in, kept, strict=True)]


def _labels(facts: Facts, counts: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]] | None:
    """Rows in and kept of each label; None if there are too many."""
    before = statistics.added_labels(report["labels"] for report in facts.cleaned)
    after = statistics.added_labels(part["labels"] for part in counts)
    if before is None or after is None:
        return None
    return {label: {"rows_in": rows, "kept": after.get(label, 0)} for label, rows in before.items()}
