"""What an interrupted training may be gone on with from, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from pakar import files, recipe, records
from pakar.errors import DataError, RecipeError, UserError
from pakar.recipe import Prepare, Recipe, Source
from pakar.run import Run
from pakar.train import checkpoint, loop, origin, precision, resume, stage
from pakar.train.adapter import make_trainable
from pakar.train.interrupt import Stop
from pakar.train.saver import Saver
from pakar.train.training import Training, start
from tests import tiny
from tests.train.test_loop import make_shards

VALUES: dict[str, Any] = {"epochs": 3, "batch_size": 4, "learning_rate": 0.01, "checkpoint_every": 1}


def make_run(folder: Path, base: Path, seed: int = 1, pairs: int = 10, **values: object) -> Run:
    """A run whose data is prepared; `values` go into the recipe's train section."""
    section = recipe.Train.model_validate({**VALUES, "compute": {"precision": "float32"}, **values})
    asked = Recipe(
        name="q",
        seed=seed,
        model=recipe.Model(base=str(base)),
        prepare=Prepare(sources=(Source(path="a.csv"),)),
        train=section,
    )
    run = Run(folder / "q", asked)
    prepare(run, pairs)
    return run


def prepare(run: Run, pairs: int) -> None:
    """As the stage of that name leaves it."""
    shards = [run.tokens_dir("train"), run.tokens_dir("validation")]
    for directory, count in zip(shards, (pairs, 4), strict=True):
        directory.mkdir(parents=True, exist_ok=True)
        make_shards(directory, count)
    tokens = files.tree_sha256([p for shard in shards for p in shard.glob("*.arrow")], run.stage_dir("prepare"))
    record: dict[str, Any] = {"inputs": {}, "outputs": {"tokens": tokens}, "files": {}, "seconds": 0}
    files.write_json(run.stage_dir("prepare") / "stage.json", record)


def write_questions(run: Run) -> None:
    """The validation split as a table, which only those read who ask questions."""
    talks = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in tiny.pairs(2)]
    rows = [{"id": str(n), "group": str(n), "messages": talk} for n, talk in enumerate(talks)]
    run.examples_dir("validation").mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows).write_parquet(run.examples_dir("validation") / "part.parquet")


class CutOffError(Exception):
    """Stands for the end of a process."""


def interrupted(run: Run, monkeypatch: pytest.MonkeyPatch, after: int = 3) -> Run:
    """Train some steps, then end without a word."""
    steps = loop.steps

    def some(training: Training, save: Any) -> Any:
        for record in steps(training, save):
            yield record
            if training.state.step > after:
                raise CutOffError

    with monkeypatch.context() as patched:
        patched.setattr(loop, "steps", some)
        with pytest.raises(CutOffError):
            stage.train(run)
    return run


def weights(run: Run) -> str:
    return files.sha256(run.model_dir / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"epochs": 4}, r"train\.epochs \(3 → 4\)"),
        ({"method": {"kind": "full"}}, r'train\.method\.kind \("lora" → "full"\)'),
        ({"method": {"kind": "lora", "rank": 2}}, r"train\.method\.rank \(16 → 2\)"),
        ({"validation": {"patience": 9}}, r"train\.validation\.patience \(3 → 9\)"),
        ({"seed": 2}, r"seed \(1 → 2\)"),
        ({"pairs": 11}, "prepared data"),
    ],
)
def test_a_change_that_leads_to_other_weights_is_refused_and_undone_goes_on(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], told: str
) -> None:
    interrupted(make_run(tmp_path, tiny_base), monkeypatch)
    before = files.tree_sha256([p for p in tmp_path.rglob("checkpoints/**/*") if p.is_file()], tmp_path)
    with pytest.raises(RecipeError, match=told) as refused:
        stage.train(make_run(tmp_path, tiny_base, **changed))
    assert refused.value.exit_code == 2
    assert "step 3 of 9, saved 20" in str(refused.value)
    assert all(way in refused.value.next_step for way in ("undo the change", "--set name=", "--restart"))
    assert files.tree_sha256([p for p in tmp_path.rglob("checkpoints/**/*") if p.is_file()], tmp_path) == before
    undone = make_run(tmp_path, tiny_base)
    stage.train(undone)
    assert files.read_json(undone.training_file)["changes"] == []


def test_another_base_model_is_refused(tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(make_run(tmp_path, tiny_base), monkeypatch)
    other = tiny.save_model(tmp_path / "other", seed=5)
    with pytest.raises(RecipeError, match=r"changed since it began: base model\n"):
        stage.train(make_run(tmp_path, other))


def test_the_same_base_model_elsewhere_is_the_same(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = make_run(tmp_path / "unbroken", tiny_base)
    stage.train(unbroken)
    interrupted(make_run(tmp_path, tiny_base), monkeypatch)
    moved = make_run(tmp_path, Path(shutil.copytree(tiny_base, tmp_path / "moved")))
    stage.train(moved)
    assert weights(moved) == weights(unbroken)


def test_restart_throws_the_unfinished_training_away(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    interrupted(make_run(tmp_path, tiny_base), monkeypatch)
    again = make_run(tmp_path, tiny_base, epochs=1)
    stage.train(again, restart=True)
    assert files.read_json(again.training_file)["steps"] == 3
    assert "as --restart asks" in capfd.readouterr().err
    finished = weights(again)
    stage.train(again, restart=True)
    assert weights(again) == finished
    assert "unchanged, skipped" in capfd.readouterr().err


@pytest.mark.parametrize(
    "changed", [{"checkpoint_every": 7}, {"trackers": ("tensorboard",)}, {"validation": {"answers": 1}}]
)
def test_what_only_looks_on_may_change_while_training_and_the_weights_stay_the_same(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    unbroken = make_run(tmp_path / "unbroken", tiny_base)
    stage.train(unbroken)
    interrupted(make_run(tmp_path, tiny_base), monkeypatch)
    run = make_run(tmp_path, tiny_base, **changed)
    write_questions(run)
    stage.train(run)
    assert files.read_json(run.training_file)["changes"] == []
    assert weights(run) == weights(unbroken)


@pytest.mark.parametrize(
    "changed",
    [
        {"checkpoint_every": 7},
        {"validation": {"answers": 1}},
        {"compute": {"precision": "float32", "micro_batch_tokens": 64}},
        {"launch": {"kind": "processes", "count": 2}},
    ],
)
def test_a_finished_training_is_not_run_again_for_what_changes_nothing_that_is_learnt_and_says_so(
    tmp_path: Path, tiny_base: Path, capfd: pytest.CaptureFixture[str], changed: dict[str, Any]
) -> None:
    stage.train(make_run(tmp_path, tiny_base, epochs=1))
    capfd.readouterr()
    stage.train(make_run(tmp_path, tiny_base, epochs=1, **changed))
    told = capfd.readouterr().err
    assert "unchanged, skipped" in told
    assert f"not trained again for train.{next(iter(changed))}" in told


def test_a_finished_training_is_finished_on_another_machine_too(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, tiny_base, epochs=1)
    stage.train(run)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    monkeypatch.setattr(precision, "precision", lambda section: "fp16")
    capfd.readouterr()
    stage.train(run)
    assert "unchanged, skipped" in capfd.readouterr().err


def test_another_number_of_threads_is_told_when_an_unfinished_training_goes_on(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = interrupted(make_run(tmp_path, tiny_base), monkeypatch)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    stage.train(run)
    assert re.search(r"though hardware \(cpu no, \d+ threads → cpu no, 64 threads\) changed", capfd.readouterr().err)


MISTAKES: dict[str, dict[str, Any]] = {
    "q_porj": {"method": {"kind": "lora", "targets": ["q_porj"]}},
    "layers 0 to 1": {"method": {"kind": "lora", "layers": [7]}},
    "float16 needs": {"compute": {"precision": "float16"}, "epochs": 2},
    "moments in 8 bits": {"optimizer": "adamw-8bit", "launch": {"kind": "processes", "sharding": "full"}},
}


@pytest.mark.parametrize("told", MISTAKES)
@pytest.mark.parametrize("restart", [False, True])
def test_a_mistake_in_the_recipe_leaves_the_finished_model_untouched(
    tmp_path: Path, tiny_base: Path, told: str, restart: bool
) -> None:
    run = make_run(tmp_path, tiny_base, epochs=1)
    stage.train(run)
    before = {path: path.stat().st_mtime_ns for path in run.stage_dir("train").rglob("*")}
    with pytest.raises(RecipeError, match=told):
        stage.train(make_run(tmp_path, tiny_base, **MISTAKES[told]), restart=restart)
    assert {path: path.stat().st_mtime_ns for path in run.stage_dir("train").rglob("*")} == before
    assert run.output("train", "model")


def test_a_mistake_in_the_recipe_leaves_the_unfinished_training_that_restart_would_throw_away(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = interrupted(make_run(tmp_path, tiny_base), monkeypatch)
    with pytest.raises(RecipeError, match="q_porj"):
        stage.train(make_run(tmp_path, tiny_base, method={"kind": "lora", "targets": ["q_porj"]}), restart=True)
    assert checkpoint.look(run.checkpoints_dir).newest is not None


def test_a_finished_model_is_kept_until_the_new_one_is_finished(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, tiny_base, epochs=1)
    stage.train(run)
    finished = weights(run)
    other = interrupted(make_run(tmp_path, tiny_base), monkeypatch)
    with pytest.raises(UserError, match="--restart"):
        other.output("train", "model")
    with pytest.raises(RecipeError, match=r"train\.epochs"):
        stage.train(run)
    stage.train(run, restart=True)
    assert weights(run) == finished
    stage.train(interrupted(make_run(tmp_path, tiny_base), monkeypatch))
    assert weights(run) != finished
    assert not (run.directory / "train.before").exists()


@pytest.mark.parametrize("killed", [False, True])
def test_a_training_that_ends_before_it_has_saved_anything_gives_the_finished_model_its_place_again(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    run = make_run(tmp_path, tiny_base, epochs=1)
    stage.train(run)
    finished = weights(run)

    def cut_off(*_: Any, **__: Any) -> None:
        raise CutOffError

    with monkeypatch.context() as patched:
        patched.setattr(stage, "begin", cut_off)
        if killed:
            patched.setattr(records, "put_back", lambda directory: None)
        with pytest.raises(CutOffError):
            stage.train(make_run(tmp_path, tiny_base))
    assert (run.directory / "train.before").exists() is killed
    stage.train(run)
    assert weights(run) == finished
    assert not (run.directory / "train.before").exists()


def test_what_only_rounds_differently_may_change_and_is_told(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    interrupted(make_run(tmp_path, tiny_base), monkeypatch)
    less = make_run(tmp_path, tiny_base, compute={"precision": "float32", "micro_batch_tokens": 64})
    stage.train(less)
    assert 'train.compute.micro_batch_tokens ("auto" → 64) changed' in capfd.readouterr().err
    facts = files.read_json(less.training_file)
    assert facts["changes"] == [{"step": 3, "changed": ['train.compute.micro_batch_tokens ("auto" → 64)']}]


@pytest.mark.parametrize(("compute", "kept"), [({}, True), ({"micro_batch_tokens": 64}, False)])
def test_what_was_settled_at_the_start_stays_until_the_wishes_change(
    tmp_path: Path, tiny_base: Path, compute: dict[str, Any], kept: bool
) -> None:
    section = recipe.Train.model_validate({**VALUES, "compute": {"precision": "float32"}})
    shards = make_shards(tmp_path / "t", 6), make_shards(tmp_path / "v", 2)
    first, second = (start(make_trainable(tiny.model(), section.method), section, *shards, seed=1) for _ in range(2))
    first.state.settled = {"micro_batch_tokens": 512}
    position = checkpoint.Position(origin.of(section, {}), origin.order_fingerprint(first.plan), 6)
    Saver(tmp_path / "c", position, Stop()).save(first)
    now = section.model_copy(update={"compute": recipe.Compute.model_validate({"precision": "float32", **compute})})
    found = resume.find(tmp_path / "c", origin.of(now, {}))
    assert found is not None
    resume.restore(found, second)
    assert second.state.settled == (first.state.settled if kept else {})


def test_a_checkpoint_copied_in_from_another_training_is_refused(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = interrupted(make_run(tmp_path / "other", tiny_base, seed=2), monkeypatch)
    run = make_run(tmp_path, tiny_base)
    shutil.copytree(other.checkpoints_dir, run.checkpoints_dir)
    with pytest.raises(RecipeError, match=r"seed \(2 → 1\)"):
        stage.train(run)
    assert len(list(run.checkpoints_dir.iterdir())) == len(list(other.checkpoints_dir.iterdir()))


def test_token_shards_swapped_under_a_finished_prepare_are_refused(tmp_path: Path, tiny_base: Path) -> None:
    run = make_run(tmp_path, tiny_base)
    make_shards(run.tokens_dir("train"), 12)
    with pytest.raises(DataError, match="not those that prepare wrote"):
        stage.train(run)


def test_a_version_that_takes_examples_in_another_order_is_refused(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = interrupted(make_run(tmp_path, tiny_base), monkeypatch)
    monkeypatch.setattr(origin, "order_fingerprint", lambda plan: "another")
    with pytest.raises(RecipeError, match="the order in which examples are taken"):
        stage.train(run)


def test_another_version_of_the_code_goes_on_and_is_told(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = interrupted(make_run(tmp_path, tiny_base), monkeypatch)
    monkeypatch.setattr(records, "code_fingerprint", lambda stage: "newer")
    stage.train(run)
    assert "though code changed since it began" in capfd.readouterr().err


@pytest.mark.parametrize("harm", ["weights", "empty", "renamed"])
def test_a_harmed_checkpoint_is_told_and_training_goes_on_from_the_one_before_to_the_same_weights(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], harm: str
) -> None:
    unbroken = make_run(tmp_path / "unbroken", tiny_base)
    stage.train(unbroken)
    run = interrupted(make_run(tmp_path, tiny_base), monkeypatch, after=5)
    newest = max(run.checkpoints_dir.iterdir())
    if harm == "weights":
        (newest / checkpoint.WEIGHTS).write_bytes(b"\0" * 99)
    elif harm == "empty":
        checkpoint.path_of(run.checkpoints_dir, 7).mkdir()
        shutil.rmtree(newest)
    else:
        newest.rename(checkpoint.path_of(run.checkpoints_dir, 8))
    capfd.readouterr()
    stage.train(run)
    told = capfd.readouterr().err
    assert "cannot be gone on from" in told
    assert "goes on from step 4 of 9" in told
    assert weights(run) == weights(unbroken)


def test_when_nothing_whole_is_left_it_is_told_and_nothing_is_removed(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = interrupted(make_run(tmp_path, tiny_base), monkeypatch)
    for path in run.checkpoints_dir.iterdir():
        (path / checkpoint.WEIGHTS).unlink()
    with pytest.raises(UserError, match="none of them is whole") as told:
        stage.train(run)
    assert "--restart" in told.value.next_step
    assert len(list(run.checkpoints_dir.iterdir())) >= 2


def test_metrics_are_cut_back_to_the_checkpoint_and_torn_lines_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"step": step}) for step in (1, 2, 3)]
    path.write_text("\n".join(lines) + '\n{"step": 4, "lo\0\0')
    resume.cut_metrics(path, 3)
    assert files.read_json_lines(path) == [{"step": 1}, {"step": 2}, {"step": 3}]
    resume.cut_metrics(path, 1)
    assert files.read_json_lines(path) == [{"step": 1}]
    resume.cut_metrics(path, 0)
    assert files.read_json_lines(path) == []


def test_the_loss_scaler_of_float16_is_restored(tmp_path: Path) -> None:
    section = recipe.Train.model_validate({**VALUES, "compute": {"precision": "float32"}})

    def training(scale: float) -> Training:
        made = start(
            make_trainable(tiny.model(), section.method),
            section,
            make_shards(tmp_path / "t", 6),
            make_shards(tmp_path / "v", 2),
            seed=1,
        )
        made.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=7)
        return made

    first, second = training(2.0**11), training(2.0**16)
    first.accelerator.scaler.load_state_dict(first.accelerator.scaler.state_dict() | {"_growth_tracker": 5})
    position = checkpoint.Position({}, origin.order_fingerprint(first.plan), 6)
    Saver(tmp_path / "c", position, Stop()).save(first)
    found = resume.find(tmp_path / "c", {})
    assert found is not None
    resume.restore(found, second)
    assert second.scaler_state() == first.scaler_state()
    assert (second.scaler_state()["scale"], second.scaler_state()["_growth_tracker"]) == (2.0**11, 5)


def test_a_training_begun_on_a_gpu_goes_on_without_one_and_says_so(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, tiny_base)
    with monkeypatch.context() as patched:
        patched.setattr(stage, "_hardware", lambda run: "cuda bf16, 1 threads")
        interrupted(run, monkeypatch)
    stage.train(run)
    assert "though hardware (cuda bf16, 1 threads → cpu no," in capfd.readouterr().err


def test_after_a_process_that_vanished_what_helps_against_too_little_memory_is_named(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = interrupted(make_run(tmp_path, tiny_base), monkeypatch)
    capfd.readouterr()
    stage.train(run)
    told = " ".join(capfd.readouterr().err.split())
    assert "killed it for want of memory" in told
    assert "train.compute.micro_batch_tokens=2048" in told
    stage.train(make_run(tmp_path / "fresh", tiny_base))
    assert "want of memory" not in capfd.readouterr().err


def test_a_diverged_training_leaves_whole_numbers_alone_in_its_metrics_and_checkpoints(
    tmp_path: Path, tiny_base: Path
) -> None:
    run = make_run(tmp_path, tiny_base, method={"kind": "lora", "alpha": 10**9})
    with pytest.raises(UserError, match="diverged"):
        stage.train(run)
    for line in run.train_metrics_file.read_text().splitlines():
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    newest = checkpoint.look(run.checkpoints_dir).newest
    assert newest is not None
    assert all(bool(weight.isfinite().all()) for weight in checkpoint.read_weights(newest).values())


def test_deterministic_mode_does_not_outlive_the_training(tmp_path: Path, tiny_base: Path) -> None:
    stage.train(make_run(tmp_path, tiny_base, epochs=1))
    assert not torch.are_deterministic_algorithms_enabled()
