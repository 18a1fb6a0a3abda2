from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pakar import recipe, shards
from pakar.conversation import Message
from pakar.errors import DataError, RecipeError, ResourceError, UserError
from pakar.models.base import parameter_counts
from pakar.models.prompt import renderer
from pakar.shards import TokenShards
from pakar.train import loop, memory, noise
from pakar.train.adapter import make_trainable, trainable_weights
from pakar.train.schedule import Schedule
from tests import tiny


def make_shards(directory: Path, count: int) -> TokenShards:
    directory.mkdir(exist_ok=True)
    prompts = renderer(tiny.tokenizer())
    rows = [prompts.example((Message("user", q), Message("assistant", a))) for q, a in tiny.pairs(count)]
    shards.write(directory / "part-00000.arrow", [(str(n), *row) for n, row in enumerate(rows)])
    return TokenShards(directory)


def run(tmp_path: Path, measured: int = 4, **values: object) -> tuple[loop.Training, list[loop.StepRecord], list[int]]:
    section = recipe.Train.model_validate(
        {"epochs": 3, "batch_size": 4, "learning_rate": 0.01, "compute": {"precision": "float32"}, **values}
    )
    torch.manual_seed(0)
    model = make_trainable(tiny.model(), section.method)
    training = loop.start(
        model, section, make_shards(tmp_path / "t", 10), make_shards(tmp_path / "v", measured), seed=1
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
    training = loop.start(model, section, make_shards(tmp_path / "t", 4), make_shards(tmp_path / "v", 0), seed=1)
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
    again = loop.start(training.model, training.section, training.train, training.validation, seed=1)
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
    noisy = losses(run(tmp_path, method=method, epochs=1, embedding_noise=5.0)[1])
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
        loop.start(tiny.model(), recipe.Train(), split, make_shards(tmp_path / "v", 2), seed=1)


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
    free = 500_000
    training, _, _ = run(tmp_path, epochs=1)
    assert training.settled.gradient_checkpointing
    free = 1
    with pytest.raises(ResourceError, match="not even one example"):
        run(tmp_path, epochs=1)
