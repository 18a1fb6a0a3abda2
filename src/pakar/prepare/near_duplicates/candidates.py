"""From the keys of one band to pairs of rows worth comparing: as many as needed, never more than linear in the rows.

Rows are numbered by their place in the order in which they would be kept, which depends on their content only. So the
pairs are the same whatever the order of the input.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pakar.prepare.near_duplicates.sets import distinct
from pakar.prepare.near_duplicates.shingles import Hashes, mix

Pairs = npt.NDArray[np.uint64]
"""Pairs of rows i < j, each as one number i·2³² + j; sorted, each pair once."""

BUCKET = 32
"""Rows with the same key are all compared with each other up to this many."""
NEIGHBOURS = 4
"""In larger buckets a row is compared with the first row of the bucket and so many that follow it."""

NO_PAIRS: Pairs = np.empty(0, dtype=np.uint64)


def pair(low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]) -> Pairs:
    """Each pair of rows as one number."""
    return low.astype(np.uint64) << np.uint64(32) | high.astype(np.uint64)


def ends(pairs: Pairs) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The two rows of every pair."""
    return (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)


def candidates(keys: Hashes, finer: Hashes) -> Pairs:
    """Pairs of rows that share a key.

    A bucket (the rows of one key) of up to BUCKET rows yields all its pairs. A larger one is parted by the `finer` keys;
    of the parts, those of up to BUCKET rows yield all their pairs. Besides, in the large bucket and in its large parts,
    every row is paired with the first row and with the NEIGHBOURS rows after it. So N rows yield at most
    N·max((BUCKET - 1) / 2 + 5, 10) pairs, even when all are equal.

    Args:
        keys: Keys of a band [N].
        finer: Keys of another band [N].
    """
    rows = np.arange(len(keys))
    pairs, crowded = _share(keys, rows)
    parts, _ = _share(mix(keys[crowded]) ^ finer[crowded], crowded)
    return distinct(np.concatenate([pairs, parts]))


def _share(keys: Hashes, rows: npt.NDArray[np.int64]) -> tuple[Pairs, npt.NDArray[np.int64]]:
    """Pairs of `rows` with the same key, and the rows of buckets that are too large to yield all of theirs."""
    order = np.argsort(keys, kind="stable")
    keys, rows = keys[order], rows[order]
    edges = np.flatnonzero(np.diff(keys, prepend=~keys[:1], append=~keys[-1:])) if len(keys) else np.zeros(1, np.int64)
    sizes = np.diff(edges)
    shared = np.repeat(sizes > 1, sizes)
    rows, firsts = rows[shared], np.repeat(rows[edges[:-1]], sizes)[shared]
    left = (np.repeat(edges[1:], sizes) - np.arange(len(keys)))[shared] - 1  # rows of the bucket that follow
    crowded = np.repeat(sizes > BUCKET, sizes)[shared]
    found = [pair(firsts[crowded], rows[crowded])[rows[crowded] != firsts[crowded]]]
    for distance in range(1, BUCKET):
        here = np.flatnonzero((left >= distance) & (~crowded | (distance <= NEIGHBOURS)))
        if here.size == 0:
            break
        found.append(pair(rows[here], rows[here + distance]))
    return np.concatenate(found), np.sort(rows[crowded])
