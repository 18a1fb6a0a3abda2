"""Packing and the loss are right for every architecture, or packing is refused for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import MambaConfig, MambaForCausalLM

from pakar import shards
from pakar.shards import TokenShards
from pakar.train import haste, losses, masks, proof
from pakar.train.batches import collate
from pakar.train.losses import Objective
from pakar.train.packing import Pass
from tests.train import scattered

NAMES = sorted(scattered.CONFIGS)
LENGTHS = (9, 5, 12)
ONE_ROW = Pass(32, ((0, 1, 2),))
ROWS = Pass(16, ((0,), (1,), (2,)))


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> TokenShards:
    """Three examples, and a fourth that differs from the first."""
    chance = np.random.default_rng(0)
    rows = [
        (str(n), chance.integers(1, scattered.VOCABULARY, length).tolist(), [0, 0] + [1] * (length - 2))
        for n, length in enumerate((*LENGTHS, LENGTHS[0]))
    ]
    directory = tmp_path_factory.mktemp("tokens")
    shards.write(directory / "part-00000.arrow", rows)
    return TokenShards(directory)


def own_losses(model: torch.nn.Module, examples: TokenShards) -> float:
    """The model's own loss of every example in a call of its own, as a sum over supervised tokens."""
    total = 0.0
    for number in range(len(LENGTHS)):
        ids = torch.from_numpy(examples[number].input_ids.astype(np.int64))[None]
        labels = torch.where(torch.from_numpy(examples[number].loss_mask.astype(np.int64))[None] == 1, ids, -100)
        total += model(input_ids=ids, labels=labels).loss.item() * int((labels[:, 1:] != -100).sum())
    return total


def backward(loss: torch.Tensor) -> None:
    torch.autograd.backward(loss)


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_the_models_own(name: str, examples: TokenShards) -> None:
    model = scattered.build(name)
    objective = Objective(model)
    for packed, laid_out in ((False, ROWS), (True, ONE_ROW)):
        objective.packed = packed
        assert objective(collate(examples, laid_out)).loss.item() == pytest.approx(
            own_losses(model, examples), rel=1e-5
        )


@pytest.mark.parametrize("name", NAMES)
def test_the_gradients_are_those_of_the_models_own_loss(
    name: str, examples: TokenShards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "LOGITS_IN_A_CHUNK", 3 * scattered.VOCABULARY)
    model = scattered.build(name)
    objective = Objective(model)
    backward(2.0 * objective(collate(examples, ONE_ROW)).loss)
    found = {key: value.clone() for key, value in gradients(model).items()}
    model.zero_grad()
    for number in range(len(LENGTHS)):
        ids = torch.from_numpy(examples[number].input_ids.astype(np.int64))[None]
        logits = model(input_ids=ids).logits[0, 1:-1]
        backward(2.0 * functional.cross_entropy(logits, ids[0, 2:], reduction="sum"))
    assert found.keys() == gradients(model).keys()
    for key, value in gradients(model).items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("name", ["bloom", "gemma2", "gpt2", "llama", "mistral", "phi3", "qwen2"])
def test_in_bfloat16_loss_and_gradient_are_those_of_float32_but_for_rounding(
    name: str, examples: TokenShards, short: bool
) -> None:
    model = scattered.build(name)
    objective = Objective(model)
    batch = collate(examples, ONE_ROW)

    def outcome() -> tuple[float, torch.Tensor]:
        model.zero_grad()
        loss = objective(batch).loss
        backward(loss)
        return loss.item(), torch.cat([gradient.flatten() for gradient in gradients(model).values()])

    loss, expected = outcome()
    if short:
        haste.hasten(model, "cpu")
    with torch.autocast("cpu", torch.bfloat16), haste.attention_on("cpu" if short else "as usual"):
        rounded, found = outcome()
    assert rounded == pytest.approx(loss, rel=0.02)
    assert (found - expected).norm() < 0.1 * expected.norm()


@pytest.mark.parametrize("name", NAMES)
def test_changing_one_example_leaves_the_others_as_they_are(name: str, examples: TokenShards) -> None:
    """Hidden states and gradients of the second and third example, when another first example shares their row."""
    model = scattered.build(name)
    objective = Objective(model)
    seen = []
    for first in (0, 3):
        batch = collate(examples, Pass(32, ((first, 1, 2),)))
        others = batch.places >= LENGTHS[0]
        hidden = objective.hidden(batch)[0].index_select(0, batch.places[others])
        sums = losses.supervised_sums(model, hidden, batch.targets[others])
        model.zero_grad()
        backward(sums.loss)
        seen.append((hidden.detach(), sums.loss.detach(), *gradients(model).values()))
    for one, other in zip(*seen, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_the_check_lets_pack_what_can_be_packed(name: str, dtype: torch.dtype) -> None:
    found = checked(scattered.build(name).to(dtype))
    assert found.harmless
    assert found.step == torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_check_refuses_a_model_whose_state_runs_on_from_example_to_example(dtype: torch.dtype) -> None:
    config = MambaConfig(vocab_size=scattered.VOCABULARY, hidden_size=32, num_hidden_layers=2, initializer_range=0.2)
    model: torch.nn.Module = MambaForCausalLM(config)
    assert not checked(model.to(dtype)).harmless


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("broken", ["sdpa", "eager"])
def test_the_check_refuses_a_mask_that_leaks(broken: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "example_numbers", torch.zeros_like)
    found = checked(scattered.build("bloom" if broken == "eager" else "falcon-rotary").to(dtype))
    assert found.others > 1e-3
    assert not found.harmless


def test_rounding_explains_little() -> None:
    step = torch.finfo(torch.bfloat16).eps
    assert proof.Drift(apart=0.02, others=0.0, step=step).harmless
    assert not proof.Drift(apart=0.03, others=0.0, step=step).harmless
    assert not proof.Drift(apart=0.0, others=0.001, step=step).harmless
    assert not proof.Drift(apart=0.001, others=0.0, step=torch.finfo(torch.float32).eps).harmless


def checked(model: torch.nn.Module) -> proof.Drift:
    model.eval()
    return proof.drift(Objective(model), scattered.VOCABULARY, 100, torch.device("cpu"))
