from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from pakar.models import base
from pakar.models.architecture import architecture, empty_model, with_layers
from pakar.recipe import Full, Lora, Method, Model, Qlora
from pakar.train import haste
from pakar.train.adapter import load_trainable
from pakar.train.plan import dry_run
from pakar.train.plan.counter import Counter, Counting
from pakar.train.plan.dry_run import BACKWARD, FIRST, LAST, LOSS, Pass

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*gradient_checkpointing:FutureWarning"
)  # of transformers, about its old name


def one(*, checkpointing: bool = False, accumulated: bool = False, rows: int = 2) -> Pass:
    return Pass(rows, 64, 80, torch.bfloat16, checkpointing, accumulated)


@pytest.mark.parametrize("method", [Full(), Lora()])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_tensors_without_contents_count_like_real_ones(
    method: Method, checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_layers(architecture(Model()).config, 3)
    dry = dry_run.moments(config, method, one(checkpointing=checkpointing))
    monkeypatch.setattr(dry_run, "FakeTensorMode", lambda **_: contextlib.nullcontext())
    assert dry_run.moments(config, method, one(checkpointing=checkpointing)) == dry


@pytest.mark.parametrize(
    ("name", "method"), [("starter", Full()), ("starter", Qlora()), ("gpt2", Full()), ("google/gemma-2-2b", Lora())]
)
def test_two_shallow_runs_tell_what_a_deep_one_counts(
    name: str, method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_layers(architecture(Model(base=name)).config, 8)
    told = dry_run.moments(config, method, one())
    monkeypatch.setattr(dry_run, "DEEPER", 8)
    counted = dry_run.moments(config, method, one())
    for part in told:
        assert told[part].total == pytest.approx(counted[part].total, rel=0.05), part


def test_a_stand_in_for_4_bits_keeps_as_much_as_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    method = Qlora(dropout=0.1)
    told = dry_run.moments(architecture(Model()).config, method, one())
    real = load_trainable(base.find(Model()), method, torch.bfloat16).train()
    haste.hasten(real, "cpu")
    monkeypatch.setattr(dry_run, "_model", lambda *_: real)
    monkeypatch.setattr(real, "to_empty", lambda **_: None, raising=False)
    monkeypatch.setattr(dry_run, "FakeTensorMode", lambda **_: contextlib.nullcontext())
    monkeypatch.setattr(dry_run, "DEEPER", 99)
    counted = dry_run.moments(architecture(Model()).config, method, one())
    assert told[LOSS].activations == pytest.approx(counted[LOSS].activations, rel=0.03)


def test_a_few_chunks_of_the_loss_tell_what_many_count(monkeypatch: pytest.MonkeyPatch) -> None:
    config = with_layers(architecture(Model()).config, 3)
    monkeypatch.setattr("pakar.train.losses.LOGITS_IN_A_CHUNK", 12 * config.vocab_size)
    told = dry_run.moments(config, Full(), one())
    monkeypatch.setattr(dry_run, "MORE_CHUNKS", 80)
    assert told == dry_run.moments(config, Full(), one())


def test_the_plan_of_a_device_leaves_attention_as_it_was() -> None:
    config = with_layers(architecture(Model()).config, 3)
    before = ALL_ATTENTION_FUNCTIONS["sdpa"]
    short, long = (dry_run.moments(config, Lora(), one()._replace(device=device)) for device in ("cpu", "gpu"))
    assert short[LOSS].activations != long[LOSS].activations
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is before


def test_activations_computed_again_are_not_kept() -> None:
    config = with_layers(architecture(Model()).config, 4)
    kept, again = (dry_run.moments(config, Lora(), one(checkpointing=on)) for on in (False, True))
    assert again[LOSS].activations < kept[LOSS].activations / 3


def test_gradients_of_earlier_passes_are_there_from_the_beginning() -> None:
    config = with_layers(architecture(Model()).config, 4)
    first, later = (dry_run.moments(config, Full(), one(accumulated=on)) for on in (False, True))
    trained = sum(weight.numel() for weight in empty_model(config).parameters())
    assert first[LAST].gradients < first[FIRST].gradients <= later[LAST].gradients == 4 * trained


def test_twice_the_rows_keep_twice_the_activations() -> None:
    config = with_layers(architecture(Model()).config, 4)
    two, four = (dry_run.moments(config, Lora(), one(rows=rows))[BACKWARD].activations for rows in (2, 4))
    assert four == pytest.approx(2 * two, rel=0.05)


def test_the_counter_knows_views_gradients_and_what_is_gone() -> None:
    counter = Counter()
    weight = torch.nn.Parameter(torch.ones(1000))
    counter.ignore([weight])
    weight.register_post_accumulate_grad_hook(counter.is_gradient)  # type: ignore[no-untyped-call]
    with Counting(counter):
        counter.begin("part")
        doubled: Any = weight * 2
        doubled.view(10, 100).sum().backward()
        del doubled
    found = counter.moments()["part"]
    assert (counter.live, counter.gradients) == (4000, 4000)  # the gradient alone is left
    assert 8000 <= found.total <= 12100
