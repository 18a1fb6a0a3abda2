"""Write the rows of an output file as token sequences. A conversation is one sequence; plain text is cut into windows."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from pakar import shards

WINDOW = ("input_ids", "loss_mask")


def write_shard(path: Path, rows: pl.DataFrame, context_tokens: int) -> None:
    """Write rows (columns id, input_ids, loss_mask) as a token shard."""
    shards.write_table(path, sequences(rows, context_tokens).to_arrow(compat_level=pl.CompatLevel.oldest()))


def sequences(rows: pl.DataFrame, context_tokens: int) -> pl.DataFrame:
    """Training sequences of at most `context_tokens` tokens, in the order of the rows; columns example, input_ids, loss_mask.

    Windows without a token to be learnt are left out. The first token of a window is never predicted, so one that has its
    only such token there teaches nothing either.
    """
    rows = rows.select(pl.col("id").alias("example"), *WINDOW)
    starts = pl.int_ranges(0, pl.col("input_ids").list.len(), context_tokens)
    windows = rows.with_columns(starts.alias("start")).explode("start", empty_as_null=False)
    cut = windows.with_columns(pl.col(name).list.slice("start", context_tokens) for name in WINDOW)
    return cut.filter(pl.col("loss_mask").list.slice(1).list.contains(1)).drop("start")
