from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pakar import recipe
from pakar.train.batches import BatchPlan
from pakar.train.order import Plan, TokenPlan, plan_for

LENGTHS = np.array([512] * 30 + [60, 80, 40, 20] * 50, dtype=np.int64)
TEXT = np.arange(len(LENGTHS)) < 30
SUPERVISED = np.where(TEXT, LENGTHS - 1, LENGTHS // 2)


def plan(lengths: np.ndarray = LENGTHS, supervised: np.ndarray = SUPERVISED, seed: int = 1, **section: object) -> Plan:
    values = {"batch_size": {"tokens": 1024}, "schedule": {"kind": "wsd", "decay": 0.25}, "epochs": 4, **section}
    return plan_for(recipe.Train.model_validate(values), lengths, supervised, seed)


def steps(made: Plan, epochs: int = 4) -> list[np.ndarray]:
    return [*itertools.chain.from_iterable(made.epoch(number) for number in range(epochs))]


def test_rows_are_counted_as_before_unless_tokens_are_asked_for() -> None:
    made = plan(batch_size=8)
    assert isinstance(made, BatchPlan)
    assert np.array_equal(made.epoch(1)[2], BatchPlan(LENGTHS, 8, 1).epoch(1)[2])


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=80),
    tokens=st.integers(16, 300),
    seed=st.integers(0, 3),
    epoch=st.integers(0, 5),
)
def test_steps_of_tokens_read_every_row_once_an_epoch_and_none_is_empty(
    lengths: list[int], tokens: int, seed: int, epoch: int
) -> None:
    array = np.array(lengths, dtype=np.int64)
    made = plan(array, array - 1, seed, batch_size={"tokens": tokens})
    found = made.epoch(epoch)
    assert len(found) == made.steps_per_epoch
    assert all(len(step) for step in found)
    assert sorted(np.concatenate(found).tolist()) == list(range(len(lengths)))


def test_a_step_has_the_tokens_that_were_asked_for() -> None:
    tokens = [int(LENGTHS[step].sum()) for step in plan().epoch(0)]
    assert np.mean(tokens) == pytest.approx(1024, rel=0.06)
    assert max(abs(one - 1024) for one in tokens) <= 600  # about the longest row


def test_text_comes_first_and_conversations_while_the_rate_falls() -> None:
    made = plan(order={"kind": "text-then-conversations", "early": 0.1, "late": 0.2})
    read = steps(made)
    turn = len(read) - round(0.25 * len(read))
    early, late = (np.concatenate(part) for part in (read[:turn], read[turn:]))

    def talking(rows: np.ndarray) -> float:
        return float(LENGTHS[rows][~TEXT[rows]].sum() / LENGTHS[rows].sum())

    assert talking(early) == pytest.approx(0.1, abs=0.02)
    assert talking(late) == pytest.approx(0.8, abs=0.1)
    assert all(len(step) for step in read)
    # Round after round: no row is read twice more often than another of its kind.
    counts = np.bincount(np.concatenate(read), minlength=len(LENGTHS))
    for kind in (TEXT, ~TEXT):
        assert counts[kind].max() - counts[kind].min() <= 1


def test_any_epoch_is_the_same_whatever_was_asked_before_it() -> None:
    made, again = (plan(order="text-then-conversations") for _ in range(2))
    forwards = [made.epoch(number) for number in range(4)]
    for number in (3, 1, 2, 0):
        assert all(map(np.array_equal, again.epoch(number), forwards[number]))
    other = plan(order="text-then-conversations", seed=2).epoch(0)
    assert not all(map(np.array_equal, other, forwards[0]))


def test_rows_of_one_kind_are_simply_shuffled() -> None:
    made = plan(LENGTHS, LENGTHS - 1, order="text-then-conversations")
    assert isinstance(made, TokenPlan)
    assert len(made.streams) == 1
    assert sorted(np.concatenate(made.epoch(0)).tolist()) == list(range(len(LENGTHS)))


@pytest.mark.parametrize("early", [0.0, 0.5, 0.97])
def test_no_step_is_empty_however_the_kinds_are_mixed(early: float) -> None:
    lengths, text = np.array([500] * 9 + [400] * 9, dtype=np.int64), np.arange(18) < 9
    order = {"kind": "text-then-conversations", "early": early, "late": 0.5}
    made = plan(lengths, np.where(text, lengths - 1, 5), order=order, batch_size={"tokens": 16})
    assert all(len(step) for step in steps(made))
