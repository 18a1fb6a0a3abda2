"""Rows from one template about different things are not near-duplicates, however much of their text is the template's.

"What are the symptoms of mumps?" and "What are the symptoms of rubella?" may have answers that differ in little but the
name. What tells them apart is a word that stands in one row's question and in its answer, and nowhere in the other row,
and such a word in the other row, too. Two versions of one text do not look like that: a word changed in one place
stands, unchanged, in the other.

Nor are two short questions with hardly a word in common, though one answer serves both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl

from pakar.prepare.near_duplicates.said import said

TOPICS = "topics"
"""Column with the words of a row that stand in its question and in its answer."""

ASKED = "asked_words"
"""Column with the words of a question of at most SHORT words; empty for longer ones, which runs of words tell apart well enough."""

SHORT = 30
ALIKE = 0.5
"""Short questions whose words have a smaller Jaccard similarity ask different things."""

PAIRS_AT_ONCE = 20_000

Rows = npt.NDArray[np.int64]
Fetch = Callable[[str, Rows], pl.Series]
"""Name of a column and ascending numbers of rows → the values."""

_WORD = r"[\p{L}\p{M}\p{N}]{3,}"  # shorter words name few things and stand everywhere


def add_topics(batch: pl.DataFrame) -> pl.DataFrame:
    """Add the columns TOPICS and ASKED (List(String), small letters); they depend on `messages` only."""
    words = batch.select(
        _words(said("user")).alias("asked"),
        _words(said("assistant")).alias("answered"),
        _all(said("user")).alias("all"),
    )
    short = pl.when(pl.col("all").list.len() <= SHORT).then("all").otherwise(pl.lit([], pl.List(pl.String)))
    return batch.with_columns(
        words.select(pl.col("asked").list.set_intersection("answered").alias(TOPICS), short.alias(ASKED))
    )


def apart(fetch: Fetch, left: Rows, right: Rows) -> npt.NDArray[np.bool_]:
    """Which of the pairs of rows ask different things.

    Args:
        fetch: Reads the columns TOPICS, ASKED and `messages`.
        left: One row of each of P pairs.
        right: The other one.
    """
    parts = [
        _apart(fetch, left[start : start + PAIRS_AT_ONCE], right[start : start + PAIRS_AT_ONCE])
        for start in range(0, len(left), PAIRS_AT_ONCE)
    ]
    return np.concatenate([np.zeros(0, bool), *parts])


def _apart(fetch: Fetch, left: Rows, right: Rows) -> npt.NDArray[np.bool_]:
    return _different_topics(fetch, left, right) | _different_questions(fetch, left, right)


def _different_questions(fetch: Fetch, left: Rows, right: Rows) -> npt.NDArray[np.bool_]:
    pairs = pl.DataFrame({"one": _values(fetch, ASKED, left), "other": _values(fetch, ASKED, right)})
    one, other = pl.col("one"), pl.col("other")
    alike = one.list.set_intersection("other").list.len() >= ALIKE * one.list.set_union("other").list.len()
    return pairs.select(~alike & (one.list.len() > 0) & (other.list.len() > 0)).to_series().to_numpy()


def _different_topics(fetch: Fetch, left: Rows, right: Rows) -> npt.NDArray[np.bool_]:
    pairs = pl.DataFrame({"one": _values(fetch, TOPICS, left), "other": _values(fetch, TOPICS, right)})
    own = pairs.select(
        pl.col("one").list.set_difference("other").alias("one"),
        pl.col("other").list.set_difference("one").alias("other"),
    )
    found: npt.NDArray[np.bool_] = (own["one"].list.len() > 0).to_numpy() & (own["other"].list.len() > 0).to_numpy()
    places = np.flatnonzero(found)
    if len(places):  # only now are the texts needed
        texts = [_texts(fetch, rows[places]) for rows in (right, left)]
        for column, other in zip(("one", "other"), texts, strict=True):
            foreign = own[column].gather(places).list.set_difference(other)
            found[places] &= (foreign.list.len() > 0).to_numpy()
    return found


def _texts(fetch: Fetch, rows: Rows) -> pl.Series:
    """All words of each row."""
    messages = _values(fetch, "messages", rows).to_frame("messages")
    return messages.select(_words(said("user", "assistant", "text"))).to_series()


def _values(fetch: Fetch, column: str, rows: Rows) -> pl.Series:
    some, places = np.unique(rows, return_inverse=True)
    return fetch(column, some).gather(places)


def _all(texts: pl.Expr) -> pl.Expr:
    return texts.str.to_lowercase().str.extract_all(r"[\p{L}\p{M}\p{N}]+").list.unique()


def _words(texts: pl.Expr) -> pl.Expr:
    return texts.str.to_lowercase().str.extract_all(_WORD).list.unique()
