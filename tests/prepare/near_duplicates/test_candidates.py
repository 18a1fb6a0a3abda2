from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from pakar.prepare.near_duplicates.candidates import BUCKET, NEIGHBOURS, candidates, ends


def found(keys: npt.ArrayLike, finer: npt.ArrayLike | None = None) -> set[tuple[int, int]]:
    first = np.asarray(keys, dtype=np.uint64)
    second = np.arange(len(first), dtype=np.uint64) if finer is None else np.asarray(finer, dtype=np.uint64)
    pairs = candidates(first, second)
    assert (np.diff(pairs.astype(object)) > 0).all()
    return set(zip(*(end.tolist() for end in ends(pairs)), strict=True))


@settings(deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2, 7, 2**64 - 1]), max_size=BUCKET))
def test_small_buckets_yield_all_pairs(keys: list[int]) -> None:
    expected = {(i, j) for i, j in combinations(range(len(keys)), 2) if keys[i] == keys[j]}
    assert found(keys) == expected


def test_equal_rows_yield_a_linear_number_of_pairs_and_all_meet_the_first() -> None:
    rows = 100_000
    pairs = found(np.ones(rows), np.ones(rows))
    assert {(0, row) for row in range(1, rows)} <= pairs
    assert len(pairs) <= rows * (NEIGHBOURS + 1)


def test_a_large_bucket_is_parted_by_the_finer_keys() -> None:
    rows = 10 * BUCKET
    finer = np.arange(rows) % (rows // 2)  # rows i and i + rows/2 share a finer key
    pairs = found(np.ones(rows), finer)
    assert {(row, row + rows // 2) for row in range(rows // 2)} <= pairs


def test_worst_case_stays_within_the_bound() -> None:
    full = np.arange(50 * BUCKET) // BUCKET
    assert len(found(full, full)) == 50 * BUCKET * (BUCKET - 1) // 2
    over = np.arange(50 * (BUCKET + 1)) // (BUCKET + 1)
    assert len(found(over, np.random.default_rng(0).integers(2, size=len(over)))) <= len(over) * ((BUCKET - 1) / 2 + 5)
