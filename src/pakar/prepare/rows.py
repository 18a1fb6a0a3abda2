"""What operators on rows share: the words of some speakers, marking rows, changing what is said."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal

import polars as pl

from pakar.prepare.frames import Sieved, reject
from pakar.prepare.operators import TOUCHED

FLAGS = "flags"


def said(roles: Collection[str] | None = None) -> pl.Expr:
    """The words of some roles (all of them if none are named) as one text, messages parted by line ends."""
    message = pl.element().struct
    spoken = message.field("content")
    if roles is not None:
        spoken = spoken.filter(message.field("role").is_in(list(roles)))
    return pl.col("messages").list.eval(spoken).list.join("\n", ignore_nulls=True).fill_null("")


def mark(batch: pl.DataFrame, hits: pl.Series, word: str) -> pl.DataFrame:
    """Append `word` to the flags of the rows that `hits` is true for; the column is added where it is missing."""
    if FLAGS not in batch.columns:
        batch = batch.with_columns(pl.lit([], dtype=pl.List(pl.String)).alias(FLAGS))
    if not hits.any():
        return batch
    flags = pl.col(FLAGS).fill_null(pl.lit([], dtype=pl.List(pl.String)))
    return batch.with_columns(pl.when(hits).then(pl.concat_list(flags, pl.lit(word))).otherwise(flags).alias(FLAGS))


def remove(batch: pl.DataFrame, hits: pl.Series, reason: str, operator: str, details: pl.Series | str = "") -> Sieved:
    """Reject the rows that `hits` is true for, each with its own detail."""
    detail = details if isinstance(details, str) else pl.lit(details.filter(hits))
    return Sieved(batch.filter(~hits), reject(batch.filter(hits), reason, operator, detail))


def flag_or_reject(
    found: pl.Series, batch: pl.DataFrame, word: str, operator: str, *, treatment: Literal["flag", "reject"]
) -> Sieved:
    """Flag or reject the rows for which something was found: `found` says what, null means nothing."""
    hits = found.is_not_null()
    if treatment == "reject":
        return remove(batch, hits, word, operator, found)
    return Sieved(mark(batch, hits, word), reject(batch.clear(), word, operator))


def rewrite(batch: pl.DataFrame, function: Callable[[pl.Series], pl.Series], roles: Collection[str]) -> pl.DataFrame:
    """Change what some roles say. Adds TOUCHED: whether the row changed."""
    rows = batch.with_row_index("_row").select("_row", "messages").explode("messages", empty_as_null=True)
    rows = rows.unnest("messages")
    mine = rows["role"].is_in(list(roles)).fill_null(value=False)
    before = rows["content"].filter(mine)
    after = function(before)
    places = mine.arg_true()
    contents = rows["content"].clone().scatter(places, after)
    changed = pl.Series("_changed", [False]).new_from_index(0, len(rows)).scatter(places, before.ne_missing(after))
    told = rows.select("_row", pl.struct("role", contents, "learn").alias("messages"), changed).group_by(
        "_row", maintain_order=True
    )
    joined = told.agg("messages", pl.col("_changed").any())
    return batch.with_columns(joined["messages"], joined["_changed"].alias(TOUCHED))
