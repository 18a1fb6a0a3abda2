from __future__ import annotations

import copy
import warnings
from typing import Any, Literal

import pytest
import torch

from pakar import recipe
from pakar.train.adapter import make_trainable, trainable_weights
from pakar.train.optimizer import optimizer_for, page
from tests.train import shapes

IDS = torch.randint(6, 12, (2, 8), generator=torch.Generator().manual_seed(1))
Kind = Literal["adamw", "paged-adamw", "adamw-8bit", "paged-adamw-8bit"]


def made(kind: Kind, seed: int = 0) -> tuple[Any, torch.optim.Optimizer]:
    """A tiny model whose embeddings are large enough for moments in 8 bits."""
    model = make_trainable(shapes.tiny("gpt2", seed), recipe.Full())
    section = recipe.Train(optimizer=recipe.AdamW(kind=kind, weight_decay=0.1, betas=(0.8, 0.99)))
    return model.eval(), optimizer_for(model, section)


def learn(model: Any, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        loss = model(input_ids=IDS, labels=IDS).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("kind", ["adamw", "paged-adamw", "adamw-8bit", "paged-adamw-8bit"])
def test_every_kind_learns_on_the_cpu_without_a_warning(kind: Kind) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses = learn(*made(kind), 10)
    assert losses[-1] < losses[0]


def test_matrices_decay_and_vectors_do_not() -> None:
    model, optimizer = made("adamw")
    decays = {name: group["weight_decay"] for group in optimizer.param_groups for name in group["names"]}
    assert decays.keys() == trainable_weights(model).keys()
    assert all(decays[name] == (0.1 if weight.ndim >= 2 else 0.0) for name, weight in trainable_weights(model).items())
    assert {group["betas"] for group in optimizer.param_groups} == {(0.8, 0.99)}


def test_without_a_gpu_paging_changes_nothing_and_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    plain, paged = made("adamw"), made("paged-adamw")
    assert "nothing to page" in capsys.readouterr().err
    assert learn(*plain, 3) == learn(*paged, 3)
    page(paged[1])
    assert "nothing to page" not in capsys.readouterr().err


def test_moments_in_eight_bits_take_a_quarter_of_the_room_and_small_weights_keep_all_bits() -> None:
    model, optimizer = made("adamw-8bit")
    learn(model, optimizer, 1)
    for name, weight in trainable_weights(model).items():
        kept = optimizer.state[weight]
        assert kept["state1"].dtype == (torch.uint8 if weight.numel() >= 4096 else torch.float32), name


def test_eight_bits_follow_the_plain_optimizer_closely() -> None:
    plain, small = learn(*made("adamw"), 20), learn(*made("adamw-8bit"), 20)
    assert small == pytest.approx(plain, rel=0.02)


@pytest.mark.parametrize("kind", ["adamw", "adamw-8bit"])
def test_a_restored_optimizer_goes_on_to_the_bit(kind: Kind) -> None:
    model, optimizer = made(kind)
    learn(model, optimizer, 3)
    weights, state = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())
    expected = learn(model, optimizer, 3)
    other, other_optimizer = made(kind, seed=5)
    other.load_state_dict(weights)
    other_optimizer.load_state_dict(state)
    page(other_optimizer)
    assert learn(other, other_optimizer, 3) == expected
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
