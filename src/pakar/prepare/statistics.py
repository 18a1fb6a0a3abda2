"""Words and tokens per column, over the rows kept (augmented rows are not evidence and do not count)."""

from __future__ import annotations

from typing import Any

import polars as pl

HISTOGRAM_BINS = 20


def describe(examples: pl.DataFrame) -> dict[str, Any]:
    """The content of statistics.json.

    Args:
        examples: Rows with `messages`, `question_tokens`, `answer_tokens`.

    Returns:
        For the columns `question` (all that is not answered by the assistant, joined) and `answer`, or `text`: whitespace
        words, and tokens as the base model reads them, marks of the template included.
    """
    if examples.is_empty():
        return {"columns": {}}
    last = pl.col("messages").list.get(-1).struct.field("role")
    texts, chats = examples.filter(last == "text"), examples.filter(last != "text")
    columns: dict[str, Any] = {}
    if len(chats):
        columns["question"] = _column(chats, _words(["user", "system"]), pl.col("question_tokens"))
        columns["answer"] = _column(chats, _words(["assistant"]), pl.col("answer_tokens"))
    if len(texts):
        columns["text"] = _column(texts, _words(["text"]), pl.col("question_tokens") + pl.col("answer_tokens"))
    return {"columns": columns}


def _words(roles: list[str]) -> pl.Expr:
    spoken = pl.element().struct.field("role").is_in(roles)
    return (
        pl.col("messages")
        .list.eval(pl.element().filter(spoken).struct.field("content").str.count_matches(r"\S+"))
        .list.sum()
    )


def _column(rows: pl.DataFrame, words: pl.Expr, tokens: pl.Expr) -> dict[str, Any]:
    return {"words": summary(rows.select(words).to_series()), "tokens": summary(rows.select(tokens).to_series())}


def summary(counts: pl.Series) -> dict[str, Any]:
    """count, mean, stddev (of a sample: n - 1), min, max, total, percentiles and a histogram of a column of whole numbers."""
    lowest, highest = int(counts.min() or 0), int(counts.max() or 0)  # type: ignore[arg-type]
    width = max(1, -(-(highest - lowest + 1) // HISTOGRAM_BINS))
    bins = ((counts.cast(pl.Int64) - lowest) // width).value_counts().sort(by=counts.name)
    return {
        "count": len(counts),
        "mean": float(counts.mean() or 0.0),  # type: ignore[arg-type]
        "stddev": float(counts.std() or 0.0),  # type: ignore[arg-type]
        "min": lowest,
        "max": highest,
        "total": int(counts.sum()),
        "percentiles": {str(p): float(counts.quantile(p / 100, "linear") or 0.0) for p in (5, 25, 50, 75, 95)},
        "histogram": {"from": lowest, "width": width, "counts": _dense(bins, (highest - lowest) // width + 1)},
    }


def _dense(bins: pl.DataFrame, length: int) -> list[int]:
    counts = [0] * length
    for position, count in bins.iter_rows():
        counts[position] = count
    return counts
