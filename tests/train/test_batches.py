from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pakar import shards
from pakar.shards import TokenShards
from pakar.train.batches import BatchPlan, collate
from pakar.train.packing import Pass

LENGTHS = np.array([3, 9, 4, 4, 12, 1, 7, 5, 5, 8], dtype=np.int64)


@pytest.fixture
def some_shards(tmp_path: Path) -> TokenShards:
    shards.write(tmp_path / "part-00000.arrow", [("a", [5, 6, 7], [0, 1, 1]), ("b", [0, 9, 0, 8], [0, 0, 1, 1])])
    shards.write(tmp_path / "part-00001.arrow", [("c", [4, 4], [0, 1])])
    return TokenShards(tmp_path)


def test_every_epoch_sees_every_sequence_once_in_another_order() -> None:
    plan = BatchPlan(LENGTHS, batch_size=3, seed=1)
    epochs = [np.concatenate(plan.epoch(n)).tolist() for n in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert len(plan.epoch(0)) == plan.steps_per_epoch == 4


def test_the_order_depends_on_the_seed_and_on_nothing_else() -> None:
    def order(seed: int) -> list[list[int]]:
        return [batch.tolist() for batch in BatchPlan(LENGTHS, 3, seed).epoch(2)]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_targets_are_the_next_supervised_tokens_of_the_same_sequence(some_shards: TokenShards) -> None:
    batch = collate(some_shards, Pass(8, ((0, 2), (1,))))
    assert batch.input_ids.tolist() == [[5, 6, 7, 4, 4, 0, 0, 0], [0, 9, 0, 8, 0, 0, 0, 0]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 0, 1, 0, 1, 2], [0, 1, 2, 3, 0, 1, 2, 3]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0]]
    # Sequence b holds the id 0, which is also what padding holds; its supervised 0 is still a target.
    assert batch.places.tolist() == [0, 1, 3, 9, 10]
    assert batch.targets.tolist() == [6, 7, 4, 0, 8]


def test_supervised_tokens_are_counted_without_the_first(tmp_path: Path) -> None:
    rows = [("a", [5, 6, 7], [1, 1, 1]), ("b", [0, 9], [1, 0]), ("c", [], []), ("d", [3, 4, 4], [0, 0, 1])]
    shards.write(tmp_path / "part-00000.arrow", rows[:3])
    shards.write(tmp_path / "part-00001.arrow", rows[3:])
    assert TokenShards(tmp_path).supervised().tolist() == [2, 0, 0, 1]
    assert len(TokenShards(tmp_path / "none").supervised()) == 0


def test_shards_give_back_what_was_written(some_shards: TokenShards) -> None:
    assert len(some_shards) == 3
    assert some_shards[1].input_ids.tolist() == [0, 9, 0, 8]
    assert some_shards.lengths().tolist() == [3, 4, 2]
