"""What is compared: every row's set of shingles, and the exact Jaccard similarity of many pairs of them at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from pakar.prepare.near_duplicates.shingles import Offsets, shingles

Rows = npt.NDArray[np.int64]
Values = npt.NDArray[np.uint32]
Similarities = npt.NDArray[np.float64]

_BLOCK = 2**21
"""Values compared at once."""
_BLANK = "-"  # stands for rows in which nothing is said, so that every row has a shingle


class Sets(NamedTuple):
    """N sets of numbers; those of set i are `values[offsets[i]:offsets[i + 1]]`, ascending, each once, at least one.

    A value is a shingle: 31 bits of its hash, then a bit that tells what is answered from what is asked or told. In rows
    of a thousand words two different shingles fall together once in some thousand rows, which moves a similarity by 0.001.
    """

    values: Values
    offsets: Offsets  # [N + 1]


class Likeness(NamedTuple):
    """Jaccard similarities |A∩B| / (|A| + |B| - |A∩B|) of P pairs of rows."""

    whole: Similarities  # [P] of all that is said
    asked: Similarities  # [P] of what is asked or told; 1 if nothing is, in both
    answered: Similarities  # [P] of what is answered; 1 if nothing is, in both


def row_sets(asked: pl.Series, answered: pl.Series, size: int) -> tuple[Sets, npt.NDArray[np.uint32]]:
    """The set of shingles of every row, and its number of words.

    Args:
        asked: What is asked or told [N]; null or blank if nothing is.
        answered: What is answered [N]; null or blank if nothing is.
        size: Words per shingle.
    """
    sides = pl.DataFrame({"asked": asked, "answered": answered}).with_columns(pl.all().fill_null(""))
    blank = pl.concat_str("asked", "answered").str.strip_chars() == ""
    sides = sides.with_columns(pl.when(blank).then(pl.lit(_BLANK)).otherwise("asked").alias("asked"))
    texts = sides.select(pl.concat_list("asked", "answered").alias("side").explode())["side"]  # of each row in turn
    found = shingles(texts, size)
    counts = np.diff(found.offsets)
    side = np.repeat(np.arange(len(counts), dtype=np.uint64), counts)
    values = found.hashes >> np.uint64(33) << np.uint64(1) | side & np.uint64(1)
    keys = distinct(side >> np.uint64(1) << np.uint64(32) | values)
    offsets = np.searchsorted(keys, np.arange(len(asked) + 1, dtype=np.uint64) << np.uint64(32))
    return Sets((keys & np.uint64(0xFFFFFFFF)).astype(np.uint32), offsets), found.words[::2] + found.words[1::2]


def distinct(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """`numbers` ascending, each once; several times faster than `np.unique`, which hashes first."""
    ordered: npt.NDArray[np.uint64] = np.sort(numbers, kind="stable")  # quick where parts are in order
    first = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    once: npt.NDArray[np.uint64] = ordered[first]
    return once


def to_column(sets: Sets) -> pl.Series:
    """Sets as a column of lists of UInt32."""
    lists = pa.LargeListArray.from_arrays(pa.array(sets.offsets, pa.int64()), pa.array(sets.values, pa.uint32()))
    return pl.Series(values=pl.from_arrow(lists), dtype=pl.List(pl.UInt32))


def from_column(column: pl.Series) -> Sets:
    """The inverse of `to_column`."""
    offsets = np.concatenate([[0], np.cumsum(column.list.len().to_numpy(), dtype=np.int64)])
    return Sets(column.explode().to_numpy(), offsets)


def likeness(sets: Sets, left: Rows, right: Rows) -> Likeness:
    """How alike the rows `left[i]` and `right[i]` are, for every i [P]."""
    sizes = np.diff(sets.offsets)
    answered = np.add.reduceat(sets.values & np.uint32(1), sets.offsets[:-1], dtype=np.int64)
    block = np.cumsum(sizes[left] + sizes[right]) // _BLOCK
    cuts = np.flatnonzero(np.diff(block)) + 1
    pieces = zip(np.split(left, cuts), np.split(right, cuts), strict=True)
    common = np.concatenate([_common(sets, one, other) for one, other in pieces], axis=1)
    total = np.stack([(sizes - answered)[left] + (sizes - answered)[right], answered[left] + answered[right]])
    return Likeness(_share(common.sum(axis=0), total.sum(axis=0)), *_share(common, total))


def _share(common: Rows, total: Rows) -> Similarities:
    """|A∩B| / (|A| + |B| - |A∩B|), and 1 for two empty sets."""
    share: Similarities = np.divide(common, total - common, out=np.ones(total.shape), where=total > 0)
    return share


def _common(sets: Sets, left: Rows, right: Rows) -> Rows:
    """|A∩B| of every pair, of what is asked and of what is answered → [2 P].

    Pair and value make one number, which stands twice where both sets hold the value.
    """
    keys = np.concatenate([_keyed(sets, left), _keyed(sets, right)])
    keys.sort(kind="stable")  # merges the two halves, which are in order, in linear time
    twice = keys[1:][keys[1:] == keys[:-1]]
    side, pair = twice & np.uint64(1), twice >> np.uint64(32)
    place = (side * np.uint64(len(left)) + pair).astype(np.int64)
    return np.bincount(place, minlength=2 * len(left)).reshape(2, -1)


def _keyed(sets: Sets, rows: Rows) -> npt.NDArray[np.uint64]:
    """Place in `rows` · 2³² + value, for every value of the sets `rows`."""
    sizes = np.diff(sets.offsets)[rows]
    begins = np.cumsum(sizes) - sizes
    places = np.arange(sizes.sum()) + np.repeat(sets.offsets[rows] - begins, sizes)
    pairs = np.repeat(np.arange(len(rows), dtype=np.uint64), sizes)
    keyed: npt.NDArray[np.uint64] = pairs << np.uint64(32) | sets.values[places]
    return keyed
