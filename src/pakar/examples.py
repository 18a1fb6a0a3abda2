"""Examples on disk: Parquet files, one row per example. Prepare writes them, evaluation reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import polars as pl

from pakar import text
from pakar.conversation import Example, conversation

MESSAGES = pl.List(pl.Struct({"role": pl.String, "content": pl.String, "learn": pl.Boolean}))
"""Column type of a conversation. `learn` is false of an answer that is only read; null and true are the same."""


def schema(columns: Mapping[str, pl.DataType | type[pl.DataType]]) -> pl.Schema:
    """A table's columns, given as types or their instances."""
    return pl.Schema(dict(columns))


SCHEMA = schema(
    {
        "id": pl.String,  # fingerprint of the messages
        "group": pl.String,  # fingerprint of the question: what the split keeps together
        "label": pl.String,  # the kind of row, where the recipe names a column for it
        "source": pl.String,  # file it came from
        "offset": pl.UInt64,  # record number in that file, from 1
        "part": pl.UInt32,  # number of the pair when one record makes several
        "messages": MESSAGES,
        "augmented": pl.Boolean,  # made by re-phrasing a training row
        "flags": pl.List(pl.String),  # what preparation marked the row with, for a person to look at
    }
)


def frame(directory: Path) -> pl.DataFrame:
    """All examples of a split as a table, in a fixed order."""
    return pl.read_parquet(sorted(directory.glob("*.parquet")))


def read(directory: Path) -> Iterator[Example]:
    """All examples of a split, in a fixed order."""
    for row in frame(directory).iter_rows(named=True):
        yield Example(id=row["id"], group=row["group"], messages=conversation(row["messages"]))


def choose(examples: Iterable[Example], count: int, seed: int) -> list[Example]:
    """The `count` examples with a question that come first in seeded order; a repeated id is asked once."""
    asked = {example.id: example for example in examples if not example.is_text}
    return sorted(asked.values(), key=lambda example: text.seeded(seed, example.id))[:count]


def groups(directory: Path) -> pl.Series:
    """The group of every example of a split."""
    return pl.read_parquet(sorted(directory.glob("*.parquet")), columns=["group"])["group"]
