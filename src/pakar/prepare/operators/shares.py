"""Keep a share of the rows of some labels; content and seed decide which, never the order of the rows.

The label is what the source's `label` column says. Reason: `not_taken`; the detail tells the label and its share.
"""

from __future__ import annotations

import polars as pl

from pakar import text
from pakar.prepare.frames import Sieved, content, sieve
from pakar.prepare.operators import Rows, Tools
from pakar.recipe.operators import Shares

NAME = "shares"
_WHOLE = 2.0**64


def take_share(batch: pl.DataFrame, section: Shares, seed: int) -> Sieved:
    """The rows that are taken.

    Args:
        batch: Rows with the columns of RECORDS.
        section: Shares by label.
        seed: Another seed takes others.
    """
    labels = pl.Series("label", list(section.of), pl.String)
    shares = pl.Series("share", list(section.of.values()), pl.Float64)
    wanted = pl.col("label").replace_strict(labels, shares, default=section.others, return_dtype=pl.Float64)
    marked = batch.with_columns(wanted.alias("_share"))
    marked = marked.with_columns(_places(marked, seed).alias("_place"))
    detail = pl.format(
        "of the rows labelled {} a share of {} is taken", pl.col("label").fill_null("(nothing)"), "_share"
    )
    kept, rejected = sieve(marked, pl.col("_place") < pl.col("_share"), "not_taken", NAME, detail)
    return Sieved(kept.drop("_share", "_place"), rejected)


def _places(batch: pl.DataFrame, seed: int) -> pl.Series:
    """A number from 0 to 1 for every row; where the share decides alone, none is worked out."""
    asked = batch.select("_share", content().fill_null("").alias("words"))
    return pl.Series(
        [
            int(text.fingerprint(NAME, str(seed), words)[:16], 16) / _WHOLE if 0 < share < 1 else 0.0
            for share, words in asked.iter_rows()
        ],
        dtype=pl.Float64,
    )


def build(section: Shares, tools: Tools) -> Rows:
    """For `pakar.prepare.operators.build`."""
    return Rows(lambda batch: take_share(batch, section, tools.seed))
