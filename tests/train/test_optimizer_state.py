from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pakar.train import checkpoint, optimizer_state, random_state
from pakar.train.checkpoint import Position, Snapshot, TrainState

Groups = list[dict[str, Any]]


def layer(seed: int, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Linear(128, 64).to(dtype)


def groups(model: torch.nn.Module) -> Groups:
    weights = dict(model.named_parameters())
    matrices = [name for name, weight in weights.items() if weight.ndim == 2]
    return [{"params": [weights[name] for name in matrices], "names": matrices, "weight_decay": 0.1}]


def _adamw(parts: Groups) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parts, lr=0.01, betas=(0.8, 0.9))


def _fused(parts: Groups) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parts, lr=0.01, fused=True)


def _momentum(parts: Groups) -> torch.optim.Optimizer:
    return torch.optim.SGD(parts, lr=0.01, momentum=0.9)


def _muon(parts: Groups) -> torch.optim.Optimizer:
    return torch.optim.Muon(parts, lr=0.01)


def _eight_bits(parts: Groups) -> torch.optim.Optimizer:
    library: Any = pytest.importorskip("bitsandbytes.optim")
    made: torch.optim.Optimizer = library.AdamW8bit(parts, lr=0.01, min_8bit_size=1)
    return made


OPTIMIZERS = [_adamw, _fused, _momentum, _muon, _eight_bits]


def learn(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    chance = torch.Generator().manual_seed(steps)
    for _ in range(steps):
        optimizer.zero_grad()
        weight = next(model.parameters())
        model(
            torch.randn(5, 128, generator=chance, dtype=torch.float32).to(weight.dtype)
        ).float().square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("make", OPTIMIZERS)
def test_any_optimizer_goes_on_to_the_same_bits_through_the_files(
    tmp_path: Path, make: Callable[[Groups], torch.optim.Optimizer], dtype: torch.dtype
) -> None:
    model = layer(0, dtype)
    optimizer = make(groups(model))
    learn(model, optimizer, 3)
    optimizer.param_groups[0]["lr"] = 0.005
    checkpoint.save(
        tmp_path,
        Snapshot(
            checkpoint.weights_of(model), optimizer_state.capture(optimizer), {}, [], TrainState(3), Position({}, "", 9)
        ),
    )
    learn(model, optimizer, 4)
    other = layer(1, dtype)
    other_optimizer = make(groups(other))
    checkpoint.restore(checkpoint.read(checkpoint.path_of(tmp_path, 3)), other, other_optimizer)
    assert other_optimizer.param_groups[0]["lr"] == 0.005
    learn(other, other_optimizer, 4)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    before, after = optimizer_state.capture(optimizer), optimizer_state.capture(other_optimizer)
    assert before.scalars == after.scalars
    assert list(before.groups) == list(after.groups)
    assert {name: t.dtype for name, t in before.tensors.items()} == {name: t.dtype for name, t in after.tensors.items()}
    assert all(torch.equal(tensor, after.tensors[name]) for name, tensor in before.tensors.items())


def test_eight_bit_moments_stay_eight_bit_with_their_scales(tmp_path: Path) -> None:
    model = layer(0)
    optimizer = _eight_bits(groups(model))
    learn(model, optimizer, 2)
    captured = optimizer_state.capture(optimizer)
    assert captured.tensors["state1/weight"].dtype == torch.uint8
    assert {"absmax1/weight", "absmax2/weight", "qmap1/weight", "qmap2/weight"} <= set(captured.tensors)


def test_moments_kept_more_exactly_than_their_weights_do_not_lose_by_restoring() -> None:
    model = layer(0, torch.bfloat16)
    optimizer = _momentum(groups(model))
    weight = optimizer.param_groups[0]["params"][0]
    exact = torch.full_like(weight, 1 / 3, dtype=torch.float32)
    optimizer.state[weight]["momentum_buffer"] = exact
    saved = optimizer_state.capture(optimizer)
    other = _momentum(groups(layer(1, torch.bfloat16)))
    optimizer_state.restore(other, saved)
    assert torch.equal(optimizer_state.capture(other).tensors["momentum_buffer/weight"], exact)


def test_state_that_cannot_be_saved_is_told_rather_than_lost() -> None:
    model = layer(0)
    optimizer = _momentum(groups(model))
    optimizer.state[optimizer.param_groups[0]["params"][0]]["history"] = [torch.zeros(1)]
    with pytest.raises(TypeError, match="history of weight is a list"):
        optimizer_state.capture(optimizer)


def test_the_state_of_other_weights_is_not_taken() -> None:
    model = layer(0)
    optimizer = _adamw(groups(model))
    learn(model, optimizer, 1)
    saved = optimizer_state.capture(optimizer)
    parts = [{"params": [model.get_parameter("bias")], "names": ["bias"]}]
    with pytest.raises(ValueError, match="different weights"):
        optimizer_state.restore(_adamw(parts), saved)


def test_all_random_generators_go_on_where_they_were() -> None:
    def draw() -> list[float]:
        return [random.random(), random.gauss(), float(np.random.normal()), torch.rand(1).item(), torch.randn(1).item()]

    draw()
    saved = random_state.capture()
    first = draw()
    draw()
    random_state.restore(saved)
    assert draw() == first
