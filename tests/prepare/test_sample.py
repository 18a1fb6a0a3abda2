from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pakar.errors import DataError
from pakar.prepare.sample import leave_out
from pakar.recipe import Prepare, Sample, Source

OUT = 5


def section(weights: list[float | None], sample: Sample | None) -> Prepare:
    return Prepare(sources=tuple(Source(path=f"{n}.csv", weight=w) for n, w in enumerate(weights)), sample=sample)


def drawn(rows: int, wanted: Prepare, sources: list[int] | None = None, labels: list[int] | None = None) -> list[int]:
    place = np.random.default_rng(3).permutation(rows).astype(np.uint64)
    fate = np.zeros(rows, np.uint8)
    zeros = [0] * rows
    leave_out(fate, place, np.array(sources or zeros), np.array(labels or zeros), wanted, code=OUT)
    return np.flatnonzero(fate == 0).tolist()


@given(st.integers(1, 50))
def test_exactly_so_many_rows_are_drawn(count: int) -> None:
    assert len(drawn(50, section([None], Sample(rows=count)))) == count


def test_a_larger_sample_holds_the_smaller_one() -> None:
    small, large = (drawn(50, section([None], Sample(rows=rows))) for rows in (10, 30))
    assert set(small) < set(large)


def test_more_rows_than_there_are_cannot_be_drawn() -> None:
    with pytest.raises(DataError, match=r"sample.rows = 51, but only 50 rows are left"):
        drawn(50, section([None], Sample(rows=51)))


@given(st.lists(st.integers(0, 3), min_size=20, max_size=60), st.integers(5, 20))
def test_a_stratified_sample_keeps_the_shares_of_the_labels(labels: list[int], rows: int) -> None:
    kept = drawn(len(labels), section([None], Sample(rows=rows, stratify=True)), labels=labels)
    assert len(kept) == rows
    for label in set(labels):
        exact = labels.count(label) * rows / len(labels)
        assert abs(sum(labels[row] == label for row in kept) - exact) < 1


def test_weighted_sources_are_mixed_in_their_proportions_and_others_are_whole() -> None:
    sources = [0] * 60 + [1] * 30 + [2] * 10
    kept = [sources[row] for row in drawn(100, section([1, 1, None], None), sources)]
    assert [kept.count(number) for number in range(3)] == [30, 30, 10]
    kept = [sources[row] for row in drawn(100, section([3, 1, None], None), sources)]
    assert [kept.count(number) for number in range(3)] == [60, 20, 10]


def test_a_weighted_source_without_rows_is_told() -> None:
    with pytest.raises(DataError, match=r"no row of 1\.csv is left"):
        drawn(10, section([1, 1], None), [0] * 10)
