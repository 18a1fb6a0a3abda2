"""Conversations in memory, and `find` on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from pakar import text
from pakar.examples import MESSAGES, schema
from pakar.prepare.near_duplicates import BAND, SCHEME, Keys, Scheme, add_bands, find
from pakar.prepare.near_duplicates.find import Rows

Turns = Sequence[tuple[str, str]]


class Found(NamedTuple):
    """`NearDuplicates` in terms of ids."""

    dropped: dict[str, tuple[str, float]]  # id → id of the row that stays, similarity
    group: dict[str, str]  # id → id of the group's first row
    compared: int
    similar: int


def conversations(*rows: Turns) -> pl.DataFrame:
    """Rows with ids; equal ones once."""
    table = pl.DataFrame(
        {
            "id": [text.fingerprint(*(part for turn in turns for part in turn)) for turns in rows],
            "messages": [[{"role": role, "content": words} for role, words in turns] for turns in rows],
        },
        schema=schema({"id": pl.String, "messages": MESSAGES}),
    )
    return table.unique("id", maintain_order=True)


def texts(*contents: str) -> pl.DataFrame:
    """Rows of plain text."""
    return conversations(*([("text", content)] for content in contents))


def pair(question: str, answer: str) -> Turns:
    return [("user", question), ("assistant", answer)]


def keys(rows: pl.DataFrame) -> Keys:
    """The columns of `add_bands`."""

    def fetch(column: str, numbers: Rows) -> pl.Series:
        return rows[column].gather(numbers)

    return Keys(rows["id"], rows["words"].to_numpy(), lambda band: rows[BAND.format(band)].to_numpy(), fetch)


def search(rows: pl.DataFrame, scheme: Scheme = SCHEME) -> Found:
    """Both steps."""
    return named(rows, add_bands(rows, scheme), scheme)


def named(rows: pl.DataFrame, columns: pl.DataFrame, scheme: Scheme = SCHEME) -> Found:
    """`find` on columns that are there already."""
    found = find(keys(columns), scheme)
    ids = rows["id"].to_list()
    dropped = zip(found.dropped, found.kept, found.similarity, strict=True)
    group = {ids[row]: ids[name] for row, name in enumerate(found.group)}
    return Found({ids[a]: (ids[b], float(s)) for a, b, s in dropped}, group, found.compared, found.similar)


def word_list(seed: int, count: int) -> list[str]:
    """Words that are all different."""
    return [f"w{number}" for number in np.random.default_rng(seed).permutation(10 * count)[:count]]


def with_changes(words: Sequence[str], changes: int, name: str = "x") -> list[str]:
    """`words` with so many replaced, evenly spread."""
    places = set(np.linspace(0, len(words), changes + 2)[1:-1].astype(int).tolist())
    return [f"{name}{place}" if place in places else word for place, word in enumerate(words)]
