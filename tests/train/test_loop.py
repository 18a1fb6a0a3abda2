from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import accelerate.state
import pytest
import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore

from pakar import recipe, shards
from pakar.conversation import Message
from pakar.errors import DataError, RecipeError, ResourceError, UserError
from pakar.models.base import parameter_counts
from pakar.models.prompt import renderer
from pakar.shards import TokenShards
from pakar.train import loop, memory, noise, settle
from pakar.train.adapter import make_trainable, trainable_weights
from pakar.train.launch import sharding
from pakar.train.launch.team import Team
from pakar.train.repeatable import repeatable
from pakar.train.schedule import Schedule
from pakar.train.training import Training, start
from tests import tiny


def make_shards(directory: Path, count: int) -> TokenShards:
    directory.mkdir(exist_ok=True)
    prompts = renderer(tiny.tokenizer())
    rows = [prompts.example((Message("user", q), Message("assistant", a))) for q, a in tiny.pairs(count)]
    shards.write(directory / "part-00000.arrow", [(str(n), *row) for n, row in enumerate(rows)])
    return TokenShards(directory)


def run(tmp_path: Path, measured: int = 4, **values: object) -> tuple[Training, list[loop.StepRecord], list[int]]:
    section = recipe.Train.model_validate(
        {"epochs": 3, "batch_size": 4, "learning_rate": 0.01, "compute": {"precision": "float32"}, **values}
    )
    torch.manual_seed(0)
    model = make_trainable(tiny.model(), section.method)
    training = start(model, section, make_shards(tmp_path / "t", 10), make_shards(tmp_path / "v", measured), seed=1)
    saved: list[int] = []
    records = list(loop.steps(training, lambda now: saved.append(now.state.step)))
    return training, records, saved


def losses(records: list[loop.StepRecord]) -> list[float]:
    return [record["loss"] for record in records if "loss" in record]


def test_the_loss_falls_and_every_step_leaves_a_record(tmp_path: Path) -> None:
    training, records, saved = run(tmp_path)
    assert [record["step"] for record in records] == list(range(1, 10))
    assert losses(records)[-1] < losses(records)[0]
    always = {
        "step",
        "epoch",
        "loss",
        "token_accuracy",
        "learning_rate",
        "gradient_norm",
        "tokens",
        "tokens_per_second",
        "memory_bytes",
        "seconds",
    }
    assert all(
        always <= record.keys() <= always | {"validation_loss", "validation_token_accuracy"} for record in records
    )
    assert training.state.first_loss is not None
    assert saved[0] == 0
    assert saved[-1] == 9 == training.state.step


def test_cutting_a_step_into_passes_changes_nothing(tmp_path: Path) -> None:
    method = {"kind": "lora", "dropout": 0.0}
    whole = losses(run(tmp_path, method=method)[1])
    parts = losses(run(tmp_path, method=method, compute={"precision": "float32", "micro_batch_tokens": 64})[1])
    assert parts == pytest.approx(whole, rel=1e-4)


def test_the_same_seed_gives_the_same_losses_to_the_bit(tmp_path: Path) -> None:
    assert losses(run(tmp_path)[1]) == losses(run(tmp_path)[1])


def test_training_stops_early_when_validation_no_longer_improves(tmp_path: Path) -> None:
    training, records, _ = run(tmp_path, epochs=60, validation={"patience": 2, "every": 1}, learning_rate=0.1)
    assert training.state.stopped
    assert training.state.step < training.total_steps
    measured = {record["step"]: record["validation_loss"] for record in records if "validation_loss" in record}
    assert (
        training.state.best_step
        == min({0: training.state.first_loss or 0.0, **measured}.items(), key=lambda m: m[1])[0]
    )
    assert training.state.step == training.state.best_step + 2


def test_without_validation_the_last_step_counts_as_the_best(tmp_path: Path) -> None:
    training, records, _ = run(tmp_path, measured=0)
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
    schedule = Schedule(peak=1.0, total_steps=110, warmup_steps=10, shape="cosine")
    assert [schedule.at(0), schedule.at(9)] == [0.1, 1.0]
    assert schedule.at(60) == pytest.approx(0.5)
    assert schedule.at(110) == pytest.approx(0.0)
    assert Schedule(1.0, 110, 10, "linear").at(60) == pytest.approx(0.5)
    assert Schedule(1.0, 110, 10, "constant").at(100) == 1.0


def test_a_diverged_training_is_told_to_the_user(tmp_path: Path) -> None:
    section = recipe.Train(method=recipe.Full(), compute=recipe.Compute(precision="float32"))
    model = make_trainable(tiny.model(), section.method)
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    training = start(model, section, make_shards(tmp_path / "t", 4), make_shards(tmp_path / "v", 0), seed=1)
    with pytest.raises(UserError, match="has diverged"):
        list(loop.steps(training, lambda _: None))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute of a Tensor:UserWarning")
def test_compiled_layers_give_the_same_losses_and_the_same_again(tmp_path: Path) -> None:
    method = {"kind": "lora", "dropout": 0.0}
    plain = losses(run(tmp_path, method=method, epochs=1)[1])
    compiled = {"precision": "float32", "compile": True, "micro_batch_tokens": 96}
    training, records, _ = run(tmp_path, method=method, epochs=1, compute=compiled)
    assert training.settled.compiled
    assert losses(records) == pytest.approx(plain, rel=1e-4)
    assert losses(run(tmp_path, method=method, epochs=1, compute=compiled)[1]) == losses(records)


def test_what_was_settled_is_kept_and_used_again(tmp_path: Path) -> None:
    training, _, _ = run(tmp_path)
    assert training.state.settled == {
        "packed": True, "micro_batch_tokens": 4096, "gradient_checkpointing": False, "compiled": False,
    }  # fmt: skip
    again = start(training.model, training.section, training.train, training.validation, seed=1)
    again.state.settled = {**training.state.settled, "packed": False, "micro_batch_tokens": 64}
    next(loop.steps(again, lambda _: None))
    assert (again.settled.packed, again.settled.micro_batch_tokens) == (False, 64)


def test_packing_changes_nothing_but_speed(tmp_path: Path) -> None:
    method = {"kind": "lora", "dropout": 0.0}
    packed = losses(run(tmp_path, method=method)[1])
    apart = losses(run(tmp_path, method=method, compute={"precision": "float32", "packing": False})[1])
    assert apart == pytest.approx(packed, rel=1e-4)


def test_embedding_noise_changes_training_and_is_drawn_alike_again(tmp_path: Path) -> None:
    method = {"kind": "lora", "dropout": 0.0}
    training, records, _ = run(tmp_path, method=method, epochs=1, embedding_noise=5.0)
    assert training.settled.packed  # noise is no neighbour's doing
    noisy = losses(records)
    assert noisy == losses(run(tmp_path, method=method, epochs=1, embedding_noise=5.0)[1])
    assert noisy != losses(run(tmp_path, method=method, epochs=1)[1])


def test_noise_is_as_strong_as_the_length_of_each_example_says() -> None:
    positions = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 0]])
    assert noise.example_lengths(positions).tolist() == [[4, 4, 4, 4, 3, 3, 3, 1]]
    added = noise.with_noise(torch.zeros(1, 8, 5000), positions, strength=5.0)[0].abs().amax(-1)
    reach = 5.0 / (torch.tensor([4, 4, 4, 4, 3, 3, 3, 1]) * 5000.0).sqrt()
    torch.testing.assert_close(added, reach, rtol=0.01, atol=0.0)


def test_examples_without_a_supervised_token_are_refused_by_name(tmp_path: Path) -> None:
    rows = [("fine", [5, 6, 7], [0, 1, 1]), ("silent", [5, 6, 7], [0, 0, 0]), ("first-only", [5, 6], [1, 0])]
    (tmp_path / "t").mkdir()
    shards.write(tmp_path / "t" / "part-00000.arrow", rows)
    split = TokenShards(tmp_path / "t")
    with pytest.raises(DataError, match=r"2 of 3 sequences of the training split .* silent, first-only"):
        start(tiny.model(), recipe.Train(), split, make_shards(tmp_path / "v", 2), seed=1)


def test_gradient_checkpointing_changes_nothing_in_the_losses(tmp_path: Path) -> None:
    method = {"kind": "lora", "dropout": 0.0}
    kept = losses(run(tmp_path, method=method, epochs=1)[1])
    again = {"precision": "float32", "gradient_checkpointing": True}
    assert losses(run(tmp_path, method=method, epochs=1, compute=again)[1]) == pytest.approx(kept, rel=1e-5)


def test_wsd_stays_and_then_falls_as_one_minus_a_root() -> None:
    schedule = Schedule(peak=1.0, total_steps=110, warmup_steps=10, shape="wsd", decay_steps=20)
    assert [schedule.at(9), schedule.at(50), schedule.at(90)] == [1.0, 1.0, 1.0]
    assert schedule.at(95) == pytest.approx(0.5)
    assert schedule.at(110) == pytest.approx(0.0)


def test_memory_that_runs_out_halves_the_pass_until_it_fits() -> None:
    assert memory.halved_until(lambda tokens: tokens <= 1000, 4096, 100) == 512
    assert memory.halved_until(lambda tokens: tokens <= 150, 4096, 140) == 140
    assert memory.halved_until(lambda tokens: tokens <= 100, 4096, 140) is None


def test_activations_are_computed_again_only_where_they_would_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 3_000_000
    monkeypatch.setattr(memory, "fits_beside", lambda wanted: wanted <= free)
    training, _, _ = run(tmp_path, epochs=1)
    assert training.settled.micro_batch_tokens < 4096
    assert not training.settled.gradient_checkpointing
    free = 200_000
    training, _, _ = run(tmp_path, epochs=1)
    assert training.settled.gradient_checkpointing
    free = 1
    with pytest.raises(ResourceError, match="not even one example"):
        run(tmp_path, epochs=1)


def no_number(training: Training, step: int, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From that step on a gradient, or the validation loss, is no number."""
    weight = next(weight for weight in training.model.parameters() if weight.requires_grad)
    if what == "gradient":
        weight.register_hook(lambda found: found * float("nan") if training.state.step + 1 == step else found)  # type: ignore[no-untyped-call]
    else:
        real = loop.validate
        monkeypatch.setattr(loop, "validate", lambda now: (math.nan, 0.0) if now.state.step == step else real(now))


@pytest.mark.parametrize("what", ["gradient", "validation loss"])
def test_what_is_no_number_ends_the_training_before_it_is_saved_and_names_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    section = recipe.Train.model_validate(
        {
            "epochs": 3,
            "batch_size": 4,
            "learning_rate": 0.01,
            "compute": {"precision": "float32"},
            "validation": {"every": 1},
            "checkpoint_every": 1,
        }
    )
    model = make_trainable(tiny.model(), section.method)
    training = start(model, section, make_shards(tmp_path / "t", 10), make_shards(tmp_path / "v", 4), seed=1)
    no_number(training, 4, what, monkeypatch)
    saved: list[int] = []
    records: list[loop.StepRecord] = []
    with pytest.raises(UserError, match=rf"the {what} of step 4 is nan: the training has diverged") as told:
        records.extend(loop.steps(training, lambda now: saved.append(now.state.step)))
    assert max(saved) == 3
    if what == "gradient":
        assert all(bool(weight.isfinite().all()) for weight in model.parameters())
    assert f"best state so far, of step {training.state.best_step}," in told.value.what
    assert all(way in told.value.next_step for way in ("--restart", "--set name=", "train.learning_rate=0.003"))


def test_a_base_model_that_gives_no_numbers_is_not_blamed_on_the_training(tmp_path: Path) -> None:
    model = make_trainable(tiny.model(), recipe.Full())
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    section = recipe.Train(method=recipe.Full(), compute=recipe.Compute(precision="float32"))
    training = start(model, section, make_shards(tmp_path / "t", 4), make_shards(tmp_path / "v", 2), seed=1)
    with pytest.raises(UserError, match="validation loss of the untrained model is nan"):
        list(loop.steps(training, lambda _: None))


def test_without_nvidias_gpu_training_is_on_the_cpu_also_beside_apples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerate.state, "is_mps_available", lambda *_, **__: True)
    assert run(tmp_path, epochs=1)[0].accelerator.device.type == "cpu"


def attentive(tmp_path: Path) -> Training:
    """A training whose attention keeps all its weights for the backward pass."""
    section = recipe.Train(method=recipe.Lora(dropout=0.0), compute=recipe.Compute(precision="float32"))
    model: Any = tiny.model()
    model.set_attn_implementation("eager")
    return start(
        make_trainable(model, section.method), section, make_shards(tmp_path / "t", 4), make_shards(tmp_path / "v", 2), seed=1
    )  # fmt: skip


def test_on_a_cpu_a_pass_is_reckoned_from_the_width_that_it_will_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = attentive(tmp_path)
    narrow, wide = (settle._kept_by_one_row(training, width) for width in (64, 128))
    assert wide > 2.1 * narrow
    monkeypatch.setattr(memory, "fits_beside", lambda wanted: wanted <= (2 * 2 * narrow + 2 * wide) // 2)
    assert not settle._fits(training, 256, 128)
    monkeypatch.setattr(memory, "fits_beside", lambda wanted: wanted <= 2 * wide)
    assert settle._fits(training, 256, 128)


def test_what_is_too_much_by_a_narrow_row_is_never_computed_wider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = attentive(tmp_path)
    widths: list[int] = []
    real = settle._kept_by_one_row

    def noted(now: Training, width: int) -> int:
        widths.append(width)
        return real(now, width)

    monkeypatch.setattr(settle, "_kept_by_one_row", noted)
    monkeypatch.setattr(memory, "fits_beside", lambda wanted: False)
    assert not settle._fits(training, 256, 128)
    assert widths == [64]


@pytest.mark.parametrize(
    ("kind", "each"), [("adamw", 8), ("adamw-8bit", 2), ("paged-adamw", 0), ("paged-adamw-8bit", 0)]
)
def test_room_is_kept_on_the_gpu_for_the_moments_that_the_optimizer_will_have_there(
    tmp_path: Path, kind: str, each: int
) -> None:
    training = attentive(tmp_path)
    training.section = training.section.model_copy(update={"optimizer": recipe.AdamW.model_validate({"kind": kind})})
    assert settle.moments(training) == each * parameter_counts(training.model)[0]


def test_a_sharded_model_has_only_its_shards_moments_on_each_gpu(tmp_path: Path) -> None:
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=8)
    try:
        training = attentive(tmp_path)
        whole = settle.moments(training)
        sharding.shard(training.objective, Team(0, 8))
        assert whole / 8 <= settle.moments(training) < whole / 7
    finally:
        dist.destroy_process_group()


def test_while_training_torch_is_repeatable_and_afterwards_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with repeatable():
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.are_deterministic_algorithms_enabled()
