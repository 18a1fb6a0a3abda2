"""Words, tokens and characters per column, over the rows kept (augmented rows are not evidence and do not count).

A length is a whole number, so a column is described by how many rows have each length. Such counts add up exactly, whatever
the parts they were taken from, and everything else follows from them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl

from pakar.prepare.counting import words as words_of

HISTOGRAM_BINS = 30
PERCENTILES = (5, 25, 50, 75, 95, 99)
COLUMNS = ("question", "answer", "text")
MOST_LABELS = 1_000
"""A column with more different values sorts nothing; it is not counted."""

Lengths = Mapping[str, int]
"""Length, as JSON writes it → rows."""
Columns = Mapping[str, Mapping[str, Lengths]]
"""Column → unit → lengths."""
Labels = Mapping[str, int]
"""Label → rows."""


def words(rows: pl.DataFrame) -> dict[str, dict[str, dict[str, int]]]:
    """How many rows have how many words.

    Args:
        rows: With `messages`.

    Returns:
        For the columns `question` (all that is not answered by the assistant, joined) and `answer`, or `text`, where there
        are such: words, separated by white space.
    """
    return _counted(_of_messages(rows, ("words",)))


def count(examples: pl.DataFrame) -> dict[str, Any]:
    """What one output file adds to the statistics.

    Args:
        examples: Rows with `messages`, `question_tokens`, `answer_tokens`, `label`.

    Returns:
        `columns`: for each column of `words`, how many rows have how many words, characters, and tokens as the base model
        reads them, marks of the template included. `rows`: how many rows have how many tokens in all. `labels`.
    """
    is_text = pl.col("messages").list.get(-1).struct.field("role") == "text"
    both = pl.col("question_tokens") + pl.col("answer_tokens")
    tokens = examples.select(
        question=pl.when(~is_text).then("question_tokens"),
        answer=pl.when(~is_text).then("answer_tokens"),
        text=pl.when(is_text).then(both),
        rows=both,
    )
    columns = _counted(_of_messages(examples, ("words", "characters")))
    for name in columns:
        columns[name]["tokens"] = _lengths(tokens[name].drop_nulls())
    return {"columns": columns, "rows": _lengths(tokens["rows"]), "labels": few(labels(examples))}


def labels(rows: pl.DataFrame) -> dict[str, int]:
    """Label → rows, of those that have one."""
    named = rows.select("label").drop_nulls()
    return dict(named.group_by("label").len().iter_rows()) if len(named) else {}


def few(counted: Mapping[str, int]) -> dict[str, int] | None:
    """The same, or None if there are so many different ones that they sort nothing."""
    return dict(counted) if len(counted) <= MOST_LABELS else None


def added(parts: Iterable[Columns]) -> dict[str, dict[str, dict[str, int]]]:
    """The counts of all parts as those of one."""
    merged: dict[str, dict[str, Counter[str]]] = {}
    for part in parts:
        for column, units in part.items():
            for unit, lengths in units.items():
                merged.setdefault(column, {}).setdefault(unit, Counter()).update(lengths)
    order = sorted(merged, key=COLUMNS.index)
    return {column: {unit: dict(lengths) for unit, lengths in merged[column].items()} for column in order}


def added_labels(parts: Iterable[Labels | None]) -> dict[str, int] | None:
    """Labels of all parts; None if they are too many in one of them, or together."""
    total: Counter[str] = Counter()
    for part in parts:
        if part is None:
            return None
        total.update(part)
    return few(dict(sorted(total.items())))


def described(columns: Columns) -> dict[str, dict[str, dict[str, Any]]]:
    """Column → unit → summary."""
    return {
        name: {unit: summary(_numbers(lengths)) for unit, lengths in units.items()} for name, units in columns.items()
    }


def over(lengths: Lengths, limit: int) -> dict[str, int]:
    """How many rows are longer than `limit`, and by how much.

    Returns:
        `rows` that are longer, `tokens_over` the limit in all of them together, `most_over` in one of them, `longest` row.
    """
    numbers = _numbers(lengths)
    beyond = {length - limit: rows for length, rows in numbers.items() if length > limit}
    return {
        "rows": sum(beyond.values()),
        "tokens_over": sum(length * rows for length, rows in beyond.items()),
        "most_over": max(beyond, default=0),
        "longest": max(numbers, default=0),
    }


def summary(counts: Mapping[int, int]) -> dict[str, Any]:
    """count, mean, stddev (of a sample: n - 1), min, max, total, percentiles and a histogram of whole numbers.

    The histogram's bins are equally wide. If a few numbers are far larger than all others, the last bin is open: it holds
    them too.

    Args:
        counts: Number → how often; not empty.
    """
    values = np.array(sorted(counts), np.int64)
    rows = np.array([counts[int(value)] for value in values], np.int64)
    n, total = int(rows.sum()), int((values * rows).sum())
    mean = total / n
    spread = float((rows * (values - mean) ** 2).sum())
    return {
        "count": n,
        "mean": mean,
        "stddev": (spread / (n - 1)) ** 0.5 if n > 1 else 0.0,
        "min": int(values[0]),
        "max": int(values[-1]),
        "total": total,
        "percentiles": {str(p): _percentile(values, rows, p / 100) for p in PERCENTILES},
        "histogram": _histogram(values, rows),
    }


def _histogram(values: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    lowest, highest = int(values[0]), int(values[-1])
    nearly_all = int(_percentile(values, rows, 0.99))
    top = highest if highest - lowest <= 2 * (nearly_all - lowest) else nearly_all
    width = max(1, -(-(top - lowest + 1) // HISTOGRAM_BINS))
    bins = (top - lowest) // width + 1
    counts = np.bincount(np.minimum((values - lowest) // width, bins - 1), weights=rows, minlength=bins).astype(int)
    return {"from": lowest, "width": width, "counts": counts.tolist(), "open": highest >= lowest + bins * width}


def _of_messages(rows: pl.DataFrame, units: tuple[str, ...]) -> pl.DataFrame:
    """One line for each column of each row: `column`, and its length in each unit."""
    messages = rows["messages"]
    flat = messages.explode(empty_as_null=False)
    contents = flat.struct.field("content")
    measures = {"words": lambda: pl.Series(words_of(contents)), "characters": contents.str.len_chars}
    spoken = pl.DataFrame(
        {
            "row": np.repeat(np.arange(len(rows)), messages.list.len().to_numpy()),
            "role": flat.struct.field("role"),
            **{unit: measures[unit]().cast(pl.Int64) for unit in units},
        }
    )
    column = (
        pl.when(pl.col("role") == "assistant")
        .then(pl.lit("answer"))
        .when(pl.col("role") == "text")
        .then(pl.lit("text"))
        .otherwise(pl.lit("question"))
    )
    measured = spoken.select("row", column.alias("column"), *units)
    return measured.group_by("row", "column").sum().drop("row")


def _counted(measured: pl.DataFrame) -> dict[str, dict[str, dict[str, int]]]:
    units = [name for name in measured.columns if name != "column"]
    found = set(measured["column"].unique().to_list())
    parts = {name: measured.filter(pl.col("column") == name) for name in COLUMNS if name in found}
    return {name: {unit: _lengths(part[unit]) for unit in units} for name, part in parts.items()}


def _lengths(lengths: pl.Series) -> dict[str, int]:
    counted = lengths.alias("length").to_frame().group_by("length").len().sort("length")
    return {str(length): rows for length, rows in counted.iter_rows()}


def _numbers(lengths: Lengths) -> dict[int, int]:
    return {int(length): rows for length, rows in lengths.items()}


def _percentile(values: np.ndarray, rows: np.ndarray, share: float) -> float:
    """With linear interpolation between neighbours (definition 7 of Hyndman and Fan 1996, NumPy's default)."""
    ends = np.cumsum(rows)
    position = share * (int(ends[-1]) - 1)
    low, high = (values[np.searchsorted(ends, p, side="right")] for p in (int(position), int(-(-position // 1))))
    return float(low + (high - low) * (position - int(position)))
