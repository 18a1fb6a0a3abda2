from __future__ import annotations

from typing import Any

import pytest
import torch

from pakar import recipe
from pakar.train import optimizer_state
from pakar.train.adapter import make_trainable, trainable_weights
from pakar.train.optimizer import optimizer_for
from tests.train import shapes
from tests.train.test_optimizer import learn


def made(seed: int = 0, kind: str = "llama", **section: object) -> tuple[Any, torch.optim.Optimizer]:
    model = make_trainable(shapes.tiny(kind, seed), recipe.Full())
    values = {"learning_rate": 0.01, "optimizer": {"kind": "muon", **section}}
    return model.eval(), optimizer_for(model, recipe.Train.model_validate(values))


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bloom"])
def test_every_weight_has_one_optimizer_and_embeddings_are_not_orthogonalised(kind: str) -> None:
    model, optimizer = made(kind=kind)
    of = {name: group["of"] for group in optimizer.param_groups for name in group["names"]}
    assert of.keys() == trainable_weights(model).keys()
    tables = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    for name, weight in trainable_weights(model).items():
        is_table = id(weight) in tables or "wpe" in name
        assert of[name] == ("muon" if weight.ndim == 2 and not is_table else "adamw"), name


def test_it_learns_and_steps_as_torch_does_with_each_kind_alone() -> None:
    model, optimizer = made(weight_decay=0.1, others_learning_rate=0.003)
    twin, _ = made()
    weights = trainable_weights(twin)
    names = {group["of"]: group["names"] for group in optimizer.param_groups}
    muon: Any = torch.optim.Muon(
        [weights[n] for n in names["muon"]], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"
    )
    adamw = torch.optim.AdamW(
        [weights[n] for n in names["adamw"]], lr=0.003, betas=(0.9, 0.95), weight_decay=0.0, fused=True
    )
    ids = torch.randint(6, 12, (2, 8), generator=torch.Generator().manual_seed(1))
    optimizers: list[Any] = [muon, adamw]
    losses: list[float] = []
    for rate in (1.0, 0.5, 0.25, 0.1):
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * rate  # as the loop does: one rate for all
        muon.param_groups[0]["lr"], adamw.param_groups[0]["lr"] = 0.01 * rate, 0.01 * rate * 0.3
        losses += learn(model, optimizer, 1)
        twin(input_ids=ids, labels=ids).loss.backward()
        for one in optimizers:
            one.step()
            one.zero_grad()
    assert losses[-1] < losses[0]
    for name, weight in trainable_weights(model).items():
        assert torch.equal(weight, weights[name]), name


def test_it_goes_on_from_what_was_saved_to_the_same_bits() -> None:
    model, optimizer = made()
    learn(model, optimizer, 3)
    saved = optimizer_state.capture(optimizer)
    saved = saved._replace(tensors={name: tensor.clone() for name, tensor in saved.tensors.items()})
    other, fresh = made(seed=5)
    with torch.no_grad():
        for name, weight in trainable_weights(other).items():
            weight.copy_(trainable_weights(model)[name])
    optimizer_state.restore(fresh, saved)
    assert learn(model, optimizer, 3) == learn(other, fresh, 3)
    for name, weight in trainable_weights(model).items():
        assert torch.equal(weight, trainable_weights(other)[name]), name


def test_there_is_nothing_for_a_rate_of_its_own_to_drift() -> None:
    model, optimizer = made(others_learning_rate=0.002)
    learn(model, optimizer, 1)
    for group in optimizer.param_groups:
        group["lr"] = 0.01
    learn(model, optimizer, 1)
    assert {group["of"]: group["lr"] for group in optimizer.param_groups} == pytest.approx(
        {"muon": 0.01, "adamw": 0.002}
    )
