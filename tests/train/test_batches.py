from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pakar import shards
from pakar.shards import TokenShards
from pakar.train.batches import IGNORED, BatchPlan, collate, micro_batches, token_losses

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


def test_micro_batches_hold_the_limit_and_lose_nothing() -> None:
    parts = list(micro_batches(np.arange(10), LENGTHS, most_tokens=16))
    assert sorted(np.concatenate(parts).tolist()) == list(range(10))
    assert all(len(part) * LENGTHS[part].max() <= 16 for part in parts)


def test_a_sequence_over_the_limit_goes_alone() -> None:
    assert [len(part) for part in micro_batches(np.array([4, 0]), LENGTHS, most_tokens=5)] == [1, 1]


def test_padding_is_told_by_length_and_never_by_id(some_shards: TokenShards) -> None:
    batch = collate(some_shards, [0, 1, 2])
    assert batch.attention_mask.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 0, 0]]
    # Sequence b holds the id 0, which is also what padding holds; its supervised 0 is still a target.
    assert batch.targets.tolist() == [[6, 7, IGNORED], [IGNORED, 0, 8], [4, IGNORED, IGNORED]]


def test_losses_are_sums_over_supervised_tokens(some_shards: TokenShards) -> None:
    batch = collate(some_shards, [0, 1, 2])
    logits = torch.randn(3, 4, 11, generator=torch.Generator().manual_seed(0))
    total, count = token_losses(logits, batch.targets)
    chosen = [(0, 0, 6), (0, 1, 7), (1, 1, 0), (1, 2, 8), (2, 0, 4)]
    expected = -sum(torch.log_softmax(logits[row, position], 0)[token] for row, position, token in chosen)
    assert count == 5
    assert total.item() == pytest.approx(float(expected), rel=1e-6)


def test_shards_give_back_what_was_written(some_shards: TokenShards) -> None:
    assert len(some_shards) == 3
    assert some_shards[1].input_ids.tolist() == [0, 9, 0, 8]
    assert some_shards.lengths().tolist() == [3, 4, 2]
