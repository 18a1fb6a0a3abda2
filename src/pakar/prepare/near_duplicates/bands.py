"""The columns by which near-duplicates are found, for one batch of rows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import polars as pl

from pakar.prepare.near_duplicates.minhash import SCHEME, Scheme, band_keys, signatures
from pakar.prepare.near_duplicates.said import said
from pakar.prepare.near_duplicates.sets import row_sets, to_column
from pakar.prepare.near_duplicates.topics import add_topics

BAND = "band_{}"
"""Column of the keys of a band."""
_BYTES = 2**21
"""Text hashed at once."""


def add_bands(batch: pl.DataFrame, scheme: Scheme = SCHEME) -> pl.DataFrame:
    """Add the columns that `find` needs; each depends on the row's `messages` and the scheme only.

    - `words` (UInt32): number of words, by the definition in `pakar.prepare.near_duplicates.shingles`;
    - `shingles` (List(UInt32)): the set of shingles, ascending; never empty. System messages are left out, because they
      are often the same in all rows;
    - `topics` and `asked_words` (List(String)): see `pakar.prepare.near_duplicates.topics`;
    - `band_0`, `band_1`, … (UInt64): rows that share one of them may be near-duplicates.

    Args:
        batch: Rows with the column `messages`.
        scheme: How near-duplicates are looked for.
    """
    texts = batch.select(said("user", "text").alias("asked"), said("assistant").alias("answered"))
    parts = [_columns(part, scheme) for part in _slices(texts)]
    return add_topics(batch.hstack(pl.concat(parts) if parts else _columns(texts, scheme)))


def _columns(texts: pl.DataFrame, scheme: Scheme) -> pl.DataFrame:
    sets, words = row_sets(texts["asked"], texts["answered"], scheme.words)
    keys = band_keys(signatures(sets, scheme.bands * scheme.rows), scheme.rows)
    columns = {"words": pl.Series(words), "shingles": to_column(sets)}
    return pl.DataFrame(columns | {BAND.format(band): pl.Series(column) for band, column in enumerate(keys)})


def _slices(texts: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """`texts` in pieces of about _BYTES bytes, so that intermediate arrays stay small."""
    size = pl.sum_horizontal(pl.col("asked", "answered").str.len_bytes().fill_null(0).cast(pl.Int64))
    pieces = texts.select((size.cum_sum() // _BYTES).rle_id().alias("piece"))["piece"].to_numpy()
    cuts = [0, *(np.flatnonzero(np.diff(pieces)) + 1).tolist(), len(texts)]
    return (texts[start:stop] for start, stop in pairwise(cuts) if stop > start)
