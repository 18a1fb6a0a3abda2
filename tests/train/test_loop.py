from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pakar import recipe, shards
from pakar.conversation import Message
from pakar.errors import RecipeError, UserError
from pakar.models.base import parameter_counts
from pakar.models.prompt import renderer
from pakar.shards import TokenShards
from pakar.train import loop
from pakar.train.adapter import make_trainable, trainable_weights
from tests import tiny


def make_shards(directory: Path, count: int) -> TokenShards:
    directory.mkdir(exist_ok=True)
    prompts = renderer(tiny.tokenizer())
    rows = [prompts.example((Message("user", q), Message("assistant", a))) for q, a in tiny.pairs(count)]
    shards.write(directory / "part-00000.arrow", [(str(n), *row) for n, row in enumerate(rows)])
    return TokenShards(directory)


def run(
    tmp_path: Path, validation: int = 4, **values: object
) -> tuple[loop.Training, list[loop.StepRecord], list[int]]:
    section = recipe.Train.model_validate(
        {"epochs": 3, "batch_size": 4, "learning_rate": 0.01, "precision": "float32", **values}
    )
    torch.manual_seed(0)
    model = make_trainable(tiny.model(), section.method)
    training = loop.start(
        model, section, make_shards(tmp_path / "t", 10), make_shards(tmp_path / "v", validation), seed=1
    )
    saved: list[int] = []
    records = list(loop.steps(training, lambda now: saved.append(now.state.step)))
    return training, records, saved


def losses(records: list[loop.StepRecord]) -> list[float]:
    return [record["loss"] for record in records if "loss" in record]


def test_the_loss_falls_and_every_step_leaves_a_record(tmp_path: Path) -> None:
    training, records, saved = run(tmp_path)
    assert [record["step"] for record in records] == list(range(1, 10))
    assert losses(records)[-1] < losses(records)[0]
    always = {"step", "epoch", "loss", "learning_rate", "tokens", "tokens_per_second", "seconds"}
    assert all(always <= record.keys() <= always | {"validation_loss"} for record in records)
    assert training.state.first_loss is not None
    assert saved[0] == 0
    assert saved[-1] == 9 == training.state.step


def test_cutting_a_step_into_passes_changes_nothing(tmp_path: Path) -> None:
    method = {"kind": "lora", "dropout": 0.0}
    whole = losses(run(tmp_path, method=method)[1])
    parts = losses(run(tmp_path, method=method, micro_batch_tokens=64)[1])
    assert parts == pytest.approx(whole, rel=1e-4)


def test_the_same_seed_gives_the_same_losses_to_the_bit(tmp_path: Path) -> None:
    assert losses(run(tmp_path)[1]) == losses(run(tmp_path)[1])


def test_training_stops_early_when_validation_no_longer_improves(tmp_path: Path) -> None:
    training, records, _ = run(tmp_path, epochs=60, patience=2, validate_every=1, learning_rate=0.1)
    assert training.state.stopped
    assert training.state.step < training.total_steps
    measured = {record["step"]: record["validation_loss"] for record in records if "validation_loss" in record}
    assert (
        training.state.best_step
        == min({0: training.state.first_loss or 0.0, **measured}.items(), key=lambda m: m[1])[0]
    )
    assert training.state.step == training.state.best_step + 2


def test_without_validation_the_last_step_counts_as_the_best(tmp_path: Path) -> None:
    training, records, _ = run(tmp_path, validation=0)
    assert training.state.best_step == training.state.step == 9
    assert not any("validation_loss" in record for record in records)


def test_lora_trains_only_its_additions_and_full_trains_all() -> None:
    lora = make_trainable(tiny.model(), recipe.Lora(rank=4))
    trainable, total = parameter_counts(lora)
    per_layer = 4 * ((32 + 32) * 2 + (32 + 16) * 2 + (32 + 64) * 3)  # q and o, k and v, gate and up and down
    assert trainable == 2 * per_layer
    assert total > trainable
    assert all("lora_" in name for name in trainable_weights(lora))
    trainable, total = parameter_counts(make_trainable(tiny.model(), recipe.Full()))
    assert trainable == total


def test_targets_that_do_not_exist_are_explained_with_those_that_do() -> None:
    with pytest.raises(RecipeError, match=r"c_attn.*down_proj.*q_proj"):
        make_trainable(tiny.model(), recipe.Lora(targets=("c_attn",)))


def test_the_schedule_warms_up_and_falls_to_zero() -> None:
    schedule = loop.Schedule(peak=1.0, total_steps=110, warmup_steps=10, shape="cosine")
    assert [schedule.at(0), schedule.at(9)] == [0.1, 1.0]
    assert schedule.at(60) == pytest.approx(0.5)
    assert schedule.at(110) == pytest.approx(0.0)
    assert loop.Schedule(1.0, 110, 10, "linear").at(60) == pytest.approx(0.5)
    assert loop.Schedule(1.0, 110, 10, "constant").at(100) == 1.0


def test_a_diverged_training_is_told_to_the_user(tmp_path: Path) -> None:
    section = recipe.Train(method=recipe.Full(), precision="float32")
    model = make_trainable(tiny.model(), section.method)
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    training = loop.start(model, section, make_shards(tmp_path / "t", 4), make_shards(tmp_path / "v", 0), seed=1)
    with pytest.raises(UserError, match="has diverged"):
        list(loop.steps(training, lambda _: None))
