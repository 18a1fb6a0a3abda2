from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pakar.train import packing

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=60).map(lambda found: np.array(found, dtype=np.int64))


@given(LENGTHS, st.integers(16, 2000), st.booleans())
def test_every_sequence_is_laid_out_once_and_limits_hold(
    lengths: np.ndarray[tuple[int], np.dtype[np.int64]], most: int, packed: bool
) -> None:
    done = packing.passes(range(len(lengths)), lengths, most_tokens=most, packed=packed)
    assert sorted(member for one in done for row in one.rows for member in row) == list(range(len(lengths)))
    for one in done:
        assert all(sum(int(lengths[member]) for member in row) <= one.width for row in one.rows)
        assert one.width * len(one.rows) <= most or len(one.rows) == 1
        assert packed or all(len(row) == 1 for row in one.rows)


@given(LENGTHS, st.randoms())
def test_the_layout_does_not_depend_on_the_order(
    lengths: np.ndarray[tuple[int], np.dtype[np.int64]], chance: object
) -> None:
    order = list(range(len(lengths)))
    expected = packing.passes(order, lengths, most_tokens=512)
    chance.shuffle(order)  # type: ignore[attr-defined]
    assert packing.passes(order, lengths, most_tokens=512) == expected


@given(LENGTHS, st.integers(1, 5))
def test_processes_together_take_every_sequence_once_and_none_has_much_more_than_another(
    lengths: np.ndarray[tuple[int], np.dtype[np.int64]], count: int
) -> None:
    dealt = packing.deal(np.arange(len(lengths)), lengths, count)
    assert len(dealt) == count
    assert sorted(member for mine in dealt for member in mine.tolist()) == list(range(len(lengths)))
    loads = [int(lengths[mine].sum()) for mine in dealt]
    assert max(loads) - min(loads) <= max(lengths)


@given(LENGTHS, st.integers(1, 5), st.randoms())
def test_dealing_gives_everyone_as_many_tokens_in_whatever_order_sequences_come(
    lengths: np.ndarray[tuple[int], np.dtype[np.int64]], count: int, chance: object
) -> None:
    order = list(range(len(lengths)))
    chance.shuffle(order)  # type: ignore[attr-defined]

    def loads(members: list[int]) -> list[int]:
        dealt = packing.deal(np.array(members, dtype=np.int64), lengths, count)
        return [int(lengths[mine].sum()) for mine in dealt]

    assert loads(order) == loads(sorted(order))


def test_little_is_padded_where_lengths_are_like_those_of_questions_and_answers() -> None:
    lengths = np.random.default_rng(0).integers(30, 251, 300).astype(np.int64)
    filled = [packing.passes(range(start, start + 16), lengths, most_tokens=4096) for start in range(0, 288, 16)]
    positions = sum(one.width * len(one.rows) for step in filled for one in step)
    assert int(lengths[:288].sum()) / positions > 0.9


@pytest.mark.parametrize(("most", "rows"), [(16, [1, 1]), (64, [2])])
def test_a_sequence_over_the_limit_goes_alone(most: int, rows: list[int]) -> None:
    done = packing.passes([0, 1], np.array([20, 24], dtype=np.int64), most_tokens=most)
    assert [len(one.rows) for one in done] == rows


def test_rows_are_packed_no_wider_than_where_attention_is_cheap() -> None:
    lengths = np.random.default_rng(0).integers(150, 500, 64).astype(np.int64)
    done = [one for at in range(0, 64, 16) for one in packing.passes(range(at, at + 16), lengths, most_tokens=4096)]
    assert max(one.width for one in done) <= 512
    assert packing.passes([0], np.array([600], dtype=np.int64), most_tokens=4096)[0].width == 600
