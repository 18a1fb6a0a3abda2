"""The tables that flow through preparation: their columns, and the pair (kept, rejected) that every operator returns."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from pakar.examples import MESSAGES, schema

RECORDS = schema(
    {
        "source": pl.String,  # file name as the reader knows it
        "offset": pl.UInt64,  # record number in the source, from 1; of JSON Lines and text the line number
        "part": pl.UInt32,  # number of the pair when one record makes several (intents), else 0
        "group": pl.String,  # what must not be parted by the split; null: the question decides
        "label": pl.String,  # the kind of row, for stratified samples; null: the source's name
        "messages": MESSAGES,
    }
)
"""One row per record, as readers yield them."""

REJECTED = schema(
    {
        "source": pl.String,
        "offset": pl.UInt64,
        "part": pl.UInt32,
        "reason": pl.String,  # one word, counted in the ledger
        "operator": pl.String,  # who rejected it
        "detail": pl.String,  # what exactly was wrong, for a person
        "text": pl.String,  # the record itself, at most EXCERPT characters
    }
)

EXCERPT = 4096


class Sieved(NamedTuple):
    """What an operator makes of a batch: every row that came in stands in exactly one of the two tables."""

    kept: pl.DataFrame
    rejected: pl.DataFrame


def nothing(schema: pl.Schema) -> pl.DataFrame:
    """An empty table."""
    return pl.DataFrame(schema=schema)


def content(messages: str = "messages") -> pl.Expr:
    """All words of a conversation as one text, for excerpts."""
    return pl.col(messages).list.eval(pl.element().struct.field("content")).list.join("\n", ignore_nulls=True)


def reject(batch: pl.DataFrame, reason: str, operator: str, detail: str | pl.Expr = "") -> pl.DataFrame:
    """The rows of `batch` in the form of rejected rows."""
    return batch.select(
        "source",
        "offset",
        "part",
        pl.lit(reason).alias("reason"),
        pl.lit(operator).alias("operator"),
        (pl.lit(detail) if isinstance(detail, str) else detail).alias("detail"),
        content().str.slice(0, EXCERPT).alias("text"),
    ).cast(REJECTED)


def sieve(batch: pl.DataFrame, keep: pl.Expr, reason: str, operator: str, detail: str | pl.Expr = "") -> Sieved:
    """Keep the rows for which `keep` is true; null counts as false."""
    keep = keep.fill_null(value=False)
    return Sieved(batch.filter(keep), reject(batch.filter(~keep), reason, operator, detail))
