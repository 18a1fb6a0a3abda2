"""Tiny batches, and ways to look at what an operator made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from pakar.prepare.frames import RECORDS, REJECTED, Sieved

Turns = list[tuple[str, str]]


def batch(*conversations: Turns) -> pl.DataFrame:
    """One row per conversation, numbered from 1."""
    rows = [
        {"source": "s", "offset": n, "part": 0, "messages": [{"role": role, "content": words} for role, words in turns]}
        for n, turns in enumerate(conversations, start=1)
    ]
    return pl.DataFrame(rows, schema=RECORDS)


def pair(question: str, answer: str) -> Turns:
    """A question and its answer."""
    return [("user", question), ("assistant", answer)]


def text(words: str) -> Turns:
    """Plain running text."""
    return [("text", words)]


def one(function: Callable[[pl.Series], pl.Series], dirty: str) -> str:
    """A function on texts applied to one text."""
    return str(function(pl.Series("t", [dirty]))[0])


def reasons(sieved: Sieved) -> dict[int, str]:
    """Reason of every rejected row by its number."""
    assert sieved.rejected.schema == REJECTED
    return dict(sieved.rejected.select("offset", "reason").iter_rows())


def contents(rows: pl.DataFrame) -> list[str]:
    """The last message of every row."""
    return rows["messages"].list.last().struct.field("content").to_list()


def in_parts(function: Callable[[pl.DataFrame], Sieved], rows: pl.DataFrame) -> Sieved:
    """The operator on every row alone, put together again."""
    parts = [function(rows[n]) for n in range(len(rows))]
    return Sieved(pl.concat([part.kept for part in parts]), pl.concat([part.rejected for part in parts]))


def assert_same_rows(one: Sieved, other: Sieved) -> None:
    """Equal but for the order of rows."""
    for these, those in zip(one, other, strict=True):
        assert _sorted(these) == _sorted(those)


def _sorted(table: pl.DataFrame) -> Sequence[str]:
    return sorted(repr(row) for row in table.iter_rows())
