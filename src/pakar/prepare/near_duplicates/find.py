"""The decision over all rows: which are near-duplicates of which, which stay, and what belongs together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from pakar.prepare.near_duplicates.candidates import NO_PAIRS, Pairs, candidates, ends
from pakar.prepare.near_duplicates.components import components, drop
from pakar.prepare.near_duplicates.minhash import SCHEME, Scheme
from pakar.prepare.near_duplicates.sets import distinct, from_column, likeness
from pakar.prepare.near_duplicates.shingles import Hashes
from pakar.prepare.near_duplicates.topics import Fetch, apart

Rows = npt.NDArray[np.int64]

WAITING = 2**24
"""Pairs that may wait for being compared (8 bytes each)."""
FETCHED = 2**25
"""Shingles fetched at once (4 bytes each), unless a single pair has more."""


class NearDuplicates(NamedTuple):
    """What was found among N rows; rows are numbered as in the columns given."""

    dropped: Rows  # [D] rows to remove, ascending
    kept: Rows  # [D] for each of them, the row that stays and resembles it most
    similarity: npt.NDArray[np.float64]  # [D] Jaccard similarity of the two, at least the threshold
    group: Rows  # [N] rows linked by similarity have the same number, that of the row among them that is kept first
    compared: int  # pairs of rows that were compared
    similar: int  # pairs of rows whose similarity reaches the threshold


class Keys(NamedTuple):
    """Where `find` gets its columns from; each has one value per row, always in the same order."""

    ids: pl.Series  # [N] String, all different
    words: npt.NDArray[np.uint32]  # [N]
    band: Callable[[int], Hashes]  # number of a band → its keys [N]; called for each band twice at most
    fetch: Fetch  # reads `shingles`, `topics` and `messages`


def find(keys: Keys, scheme: Scheme = SCHEME) -> NearDuplicates:
    """Find the near-duplicates among N rows, fewer than 2³².

    Of near-duplicates the row with the most words is kept first; of equally long ones that with the smallest id. Every
    dropped row is similar to a row that stays. The result depends on the rows' content only, not on their order. Time
    and memory grow linearly with N: about 350 bytes a row, ids included, besides WAITING and FETCHED.

    Args:
        keys: The columns that `add_bands` computed, and the rows' ids.
        scheme: The scheme that they were computed with.

    Raises:
        ValueError: two rows have the same id.
    """
    order = keep_order(keys.ids, keys.words)
    found, compared = _similar(keys, order, scheme)
    pairs, similarity = found
    gone = drop(len(order), pairs, similarity)
    group = np.empty(len(order), dtype=np.int64)
    group[order] = order[components(len(order), pairs)]
    dropped, kept = order[gone.rows], order[gone.kept]
    by_row = np.argsort(dropped)
    return NearDuplicates(dropped[by_row], kept[by_row], gone.similarity[by_row], group, compared, len(pairs))


def keep_order(ids: pl.Series, words: npt.NDArray[np.uint32]) -> Rows:
    """The rows in the order in which they would be kept: most words first, then smallest id."""
    table = pl.DataFrame({"id": ids, "words": words}).with_row_index("row")
    table = table.sort("words", "id", descending=[True, False])
    if table.select((pl.col("id") == pl.col("id").shift()).any()).item():
        raise ValueError("ids of rows must all be different; remove exact duplicates first")
    return table["row"].to_numpy().astype(np.int64)


class _Similar(NamedTuple):
    pairs: Pairs
    similarity: npt.NDArray[np.float64]


def _similar(keys: Keys, order: Rows, scheme: Scheme) -> tuple[_Similar, int]:
    """All candidate pairs that reach the threshold, and how many were compared.

    Pairs of all bands are gathered first, so that each is compared once; when too many wait, they are compared earlier.
    """
    waiting, compared = NO_PAIRS, 0
    found = _Similar(NO_PAIRS, np.empty(0))
    band = keys.band(0)[order]
    for number in range(scheme.bands):
        following = keys.band((number + 1) % scheme.bands)[order]
        waiting = distinct(np.concatenate([waiting, candidates(band, following)]))
        band = following
        if len(waiting) > WAITING or number == scheme.bands - 1:
            fresh = np.setdiff1d(waiting, found.pairs, assume_unique=True)
            found, compared = _join([found, _compare(keys, order, fresh, scheme)]), compared + len(fresh)
            waiting = NO_PAIRS
    return found, compared


def _compare(keys: Keys, order: Rows, pairs: Pairs, scheme: Scheme) -> _Similar:
    """Those of `pairs` that are near-duplicates."""
    found = [_Similar(NO_PAIRS, np.empty(0))]
    for part in _affordable(pairs, keys.words[order]):
        left, right = (order[end] for end in ends(part))
        rows = np.unique(np.concatenate([left, right]))
        sets = from_column(keys.fetch("shingles", rows))
        alike = likeness(sets, np.searchsorted(rows, left), np.searchsorted(rows, right))
        reached = alike.whole >= scheme.threshold
        reached &= (alike.asked >= scheme.question_threshold) & (alike.answered >= scheme.answer_threshold)
        reached[reached] = ~apart(keys.fetch, left[reached], right[reached])
        found.append(_Similar(part[reached], alike.whole[reached]))
    return _join(found)


def _affordable(pairs: Pairs, words: npt.NDArray[np.uint32]) -> Iterator[Pairs]:
    """Cut `pairs` into parts whose rows have about FETCHED shingles together."""
    low, high = ends(pairs)
    fresh = np.diff(low, prepend=-1) != 0
    cost = np.cumsum(words[high].astype(np.int64) + 1 + fresh * words[low])
    yield from np.split(pairs, np.flatnonzero(np.diff(cost // FETCHED)) + 1) if len(pairs) else []


def _join(parts: Sequence[_Similar]) -> _Similar:
    pairs = np.concatenate([part.pairs for part in parts])
    order = np.argsort(pairs)
    return _Similar(pairs[order], np.concatenate([part.similarity for part in parts])[order])
