from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pakar.examples import MESSAGES
from pakar.prepare import statistics


def rows(pairs: list[tuple[str, str]], tokens: list[tuple[int, int]] | None = None) -> pl.DataFrame:
    """Question and answer; an empty answer stands for plain text."""
    messages = [
        [{"role": "user", "content": q}, {"role": "assistant", "content": a}] if a else [{"role": "text", "content": q}]
        for q, a in pairs
    ]
    tokens = tokens or [(len(q), len(a)) for q, a in pairs]
    return pl.DataFrame(
        {
            "messages": pl.Series(messages, dtype=MESSAGES),
            "question_tokens": pl.Series([q for q, _ in tokens], dtype=pl.UInt32),
            "answer_tokens": pl.Series([a for _, a in tokens], dtype=pl.UInt32),
            "label": pl.Series(["x"] * len(pairs), dtype=pl.String),
        }
    )


LINES = st.text(alphabet="ab \n", min_size=1, max_size=20).filter(lambda line: bool(line.strip()))
PAIRS = st.lists(st.tuples(LINES, st.one_of(LINES, st.just(""))), min_size=1, max_size=8)


@given(PAIRS, st.integers(0, 8))
def test_parts_add_up_to_the_whole(pairs: list[tuple[str, str]], cut: int) -> None:
    parts = [statistics.count(rows(part)) for part in (pairs[:cut], pairs[cut:]) if part]
    parts = json.loads(json.dumps(parts))  # as they travel between processes
    whole = statistics.count(rows(pairs))
    assert statistics.added(part["columns"] for part in parts) == whole["columns"]
    assert statistics.added_labels(part["labels"] for part in parts) == whole["labels"] == {"x": len(pairs)}


@given(PAIRS)
def test_words_are_those_that_white_space_separates(pairs: list[tuple[str, str]]) -> None:
    counted = statistics.words(rows(pairs))
    asked = [len(q.split()) for q, a in pairs if a]
    told = {int(length): n for length, n in counted.get("question", {}).get("words", {}).items()}
    assert sum(told.values()) == len(asked)
    assert sum(length * n for length, n in told.items()) == sum(asked)
    assert ("text" in counted) == any(not a for _, a in pairs)


@given(st.lists(st.integers(0, 300), min_size=2, max_size=60))
def test_a_summary_equals_that_of_numpy(numbers: list[int]) -> None:
    counts = {n: numbers.count(n) for n in set(numbers)}
    found = statistics.summary(counts)
    assert found["mean"] == pytest.approx(np.mean(numbers))
    assert found["stddev"] == pytest.approx(np.std(numbers, ddof=1))
    for percent, value in found["percentiles"].items():
        assert value == pytest.approx(np.percentile(numbers, int(percent)))
    assert sum(found["histogram"]["counts"]) == len(numbers)


def test_one_huge_row_does_not_squeeze_the_histogram() -> None:
    shape: dict[str, Any] = statistics.summary({**dict.fromkeys(range(20, 80), 10), 223_973: 1})["histogram"]
    assert shape["width"] <= 3
    assert shape["open"]
    assert shape["counts"][-1] >= 1
    assert not statistics.summary({5: 1, 9: 1})["histogram"]["open"]


def test_rows_over_the_context_are_counted_and_by_how_much() -> None:
    assert statistics.over({"10": 3, "12": 2, "20": 1}, 10) == {
        "rows": 3, "tokens_over": 14, "most_over": 10, "longest": 20,
    }  # fmt: skip
    assert statistics.over({}, 10) == {"rows": 0, "tokens_over": 0, "most_over": 0, "longest": 0}


def test_a_column_with_too_many_values_sorts_nothing() -> None:
    many = {str(n): 1 for n in range(statistics.MOST_LABELS + 1)}
    assert statistics.few(many) is None
    assert statistics.added_labels([{"a": 1}, None]) is None
    assert statistics.added_labels([{"a": 1}, {"a": 2, "b": 1}]) == {"a": 3, "b": 1}
