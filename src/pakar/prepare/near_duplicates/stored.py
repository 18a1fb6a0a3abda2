"""The key columns of rows that lie in Parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from pakar.prepare.near_duplicates.bands import BAND
from pakar.prepare.near_duplicates.find import Keys, Rows
from pakar.prepare.near_duplicates.shingles import Hashes


def stored_keys(paths: Sequence[Path]) -> Keys:
    """Keys for `find` that are read when they are needed; rows are numbered through all files in the order given.

    Args:
        paths: At least one file, each with the column `id` and those of `add_bands`.
    """
    known = pl.read_parquet(list(paths), columns=["id", "words"])
    lengths = [pl.scan_parquet(path).select(pl.len()).collect().item() for path in paths]
    starts = np.cumsum([0, *lengths])

    def band(number: int) -> Hashes:
        column = BAND.format(number)
        return pl.read_parquet(list(paths), columns=[column])[column].to_numpy()

    def fetch(column: str, rows: Rows) -> pl.Series:
        cuts = pairwise(np.searchsorted(rows, starts))
        wanted = [rows[low:high] - start for (low, high), start in zip(cuts, starts[:-1], strict=True)]
        return pl.concat([_some(path, column, some) for path, some in zip(paths, wanted, strict=True) if len(some)])

    return Keys(known["id"], known["words"].to_numpy(), band, fetch)


def _some(path: Path, column: str, rows: Rows) -> pl.Series:
    return pl.read_parquet(path, columns=[column])[column].gather(rows)
