"""Which rows belong together, and which of them stay. Rows are numbered in the order in which they would be kept."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pakar.prepare.near_duplicates.candidates import Pairs, ends

Rows = npt.NDArray[np.int64]

_BLOCK = 2**20


class Dropped(NamedTuple):
    """D rows that go, each with the kept row that it resembles most."""

    rows: Rows  # [D] ascending
    kept: Rows  # [D]
    similarity: npt.NDArray[np.float64]  # [D] Jaccard similarity of the two


def components(count: int, pairs: Pairs) -> Rows:
    """The connected component of each of `count` rows, named after its first row → [count].

    Every root is hooked onto the smallest root next to it, then all ways are shortened, until nothing changes (after
    Shiloach & Vishkin 1982).
    """
    above = np.arange(count)
    low, high = ends(pairs)
    while low.size:
        np.minimum.at(above, high, low)
        while not np.array_equal(higher := above[above], above):
            above = higher
        one, other = above[low], above[high]
        apart = one != other
        low, high = np.minimum(one, other)[apart], np.maximum(one, other)[apart]
    return above


def drop(count: int, pairs: Pairs, similarity: npt.NDArray[np.float64]) -> Dropped:
    """Visit the rows in order and drop each that is similar to one kept before.

    So every dropped row is similar to a kept one. A row that is similar to dropped ones only (the far end of a chain)
    stays.

    Args:
        count: Number of rows.
        pairs: All pairs of similar rows [P].
        similarity: Their similarities [P].
    """
    order = np.argsort(ends(pairs)[1], kind="stable")
    low, high = ends(pairs[order])
    kept = bytearray(b"\x01") * count
    for start in range(
        0, len(low), _BLOCK
    ):  # in order of the later row: whether the earlier one stays is known by then
        block = slice(start, start + _BLOCK)
        for one, other in zip(low[block].tolist(), high[block].tolist(), strict=True):
            if kept[one]:
                kept[other] = 0
    stays = np.frombuffer(kept, dtype=np.uint8).astype(bool)
    causes = stays[low]  # only rows that go are the later row of such a pair
    low, high, similarity = low[causes], high[causes], similarity[order][causes]
    best = np.lexsort((low, -similarity, high))
    rows, first = np.unique(high[best], return_index=True)
    return Dropped(rows, low[best][first], similarity[best][first])
