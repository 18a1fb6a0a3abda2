"""Texts out of rows and back: what operators share that treat all messages of a row together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from pakar.examples import MESSAGES
from pakar.prepare.operators import TOUCHED


def texts(batch: pl.DataFrame) -> pl.DataFrame:
    """Every message's content: `row` (number of the row in the batch) and `content`, in order; rows without messages are left out."""
    content = pl.col("messages").list.eval(pl.element().struct.field("content").fill_null(""))
    return (
        batch.select(row=pl.int_range(pl.len(), dtype=pl.UInt32), content=content)
        .explode("content")
        .drop_nulls("content")
    )


def with_texts(batch: pl.DataFrame, changed: Mapping[int, Sequence[str]]) -> pl.DataFrame:
    """The batch with new contents in some of its rows, and with TOUCHED.

    Args:
        batch: Rows with a column `messages`.
        changed: Contents of all messages of a row, by the row's number in the batch.
    """
    numbers = sorted(changed)
    old = batch["messages"].gather(numbers).to_list()
    new = [
        [{**message, "content": text} for message, text in zip(messages, changed[number], strict=True)]
        for number, messages in zip(numbers, old, strict=True)
    ]
    table = pl.DataFrame({"row": numbers, "new": new}, schema={"row": pl.UInt32, "new": MESSAGES})
    joined = batch.with_columns(row=pl.int_range(pl.len(), dtype=pl.UInt32)).join(
        table, on="row", how="left", maintain_order="left"
    )
    before = pl.col(TOUCHED) if TOUCHED in batch.columns else pl.lit(value=False)
    return joined.with_columns(
        messages=pl.coalesce("new", "messages"), **{TOUCHED: before | pl.col("new").is_not_null()}
    ).drop("row", "new")
