from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pakar.prepare.near_duplicates import sets as module
from pakar.prepare.near_duplicates.sets import Sets, distinct, from_column, likeness, row_sets, to_column
from pakar.prepare.near_duplicates.shingles import shingles

SIDES = st.text(alphabet="ab ", max_size=12)


def rows(*sides: tuple[str | None, str | None]) -> Sets:
    asked, answered = (pl.Series(values, dtype=pl.String) for values in zip(*sides, strict=True))
    return row_sets(asked, answered, 2)[0]


def exact(one: set[int], other: set[int]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0


@settings(deadline=None)
@given(
    st.lists(st.sets(st.integers(0, 2**32 - 1) | st.integers(0, 9), min_size=1, max_size=12), min_size=2, max_size=7)
)
def test_likeness_equals_that_of_python_sets(contents: list[set[int]]) -> None:
    values = np.array([value for one in contents for value in sorted(one)], dtype=np.uint32)
    found = Sets(values, np.cumsum([0, *map(len, contents)]))
    left, right = np.triu_indices(len(contents), 1)
    alike = likeness(found, left, right)
    odd = [{value for value in one if value % 2} for one in contents]
    even = [{value for value in one if value % 2 == 0} for one in contents]
    couples = list(zip(left.tolist(), right.tolist(), strict=True))
    assert alike.whole.tolist() == [exact(contents[i], contents[j]) for i, j in couples]
    assert alike.asked.tolist() == [exact(even[i], even[j]) for i, j in couples]
    assert alike.answered.tolist() == [exact(odd[i], odd[j]) for i, j in couples]


def test_a_row_is_the_set_of_the_shingles_of_both_sides() -> None:
    found = rows(("a b c", "a b a b a"), ("c", ""))
    assert np.diff(found.offsets).tolist() == [4, 1]
    asked, answered = (shingles(pl.Series([side]), 2).hashes for side in ("a b c", "a b a b a"))
    expected = {int(value >> 33) << 1 for value in asked} | {int(value >> 33) << 1 | 1 for value in answered}
    assert found.values[:4].tolist() == sorted(expected)


def test_what_is_asked_is_no_answer() -> None:
    alike = likeness(rows(("one two", None), (None, "one two")), np.array([0]), np.array([1]))
    assert (alike.whole[0], alike.asked[0], alike.answered[0]) == (0, 0, 0)


def test_rows_in_which_nothing_is_said_are_alike() -> None:
    alike = likeness(rows((None, None), ("", " ")), np.array([0]), np.array([1]))
    assert alike.whole[0] == 1


def test_many_pairs_are_compared_in_blocks() -> None:
    found = rows(*((f"{n} {n + 1} {n + 2} {n + 3}", None) for n in range(50)))
    left, right = np.arange(49), np.arange(1, 50)
    before = module._BLOCK
    try:
        module._BLOCK = 10
        assert likeness(found, left, right).whole.tolist() == [0.5] * 49
    finally:
        module._BLOCK = before


@settings(deadline=None)
@given(st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=6))
def test_columns_hold_the_sets(sides: list[tuple[str, str]]) -> None:
    found = rows(*sides)
    column = to_column(found)
    assert column.dtype == pl.List(pl.UInt32)
    back = from_column(column)
    assert back.values.tolist() == found.values.tolist()
    assert back.offsets.tolist() == found.offsets.tolist()
    assert all(values == sorted(set(values)) != [] for values in column.to_list())


@given(st.lists(st.integers(0, 2**64 - 1), max_size=30))
def test_distinct_is_sorted_and_without_repeats(numbers: list[int]) -> None:
    assert distinct(np.array(numbers, dtype=np.uint64)).tolist() == sorted(set(numbers))
