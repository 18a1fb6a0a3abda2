"""The whole program: data in, report out; interrupted at any moment, it ends up in the same place."""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from pakar import files
from tests import tiny
from tests.command import pakar, start

pytestmark = pytest.mark.slow


def make_folder(path: Path, base: Path) -> Path:
    path.mkdir(exist_ok=True)
    data = tiny.write_pairs(path / "rows.csv", tiny.pairs(30))
    tiny.write_recipe(path / "recipe.yaml", data, base)
    return path


def results(folder: Path) -> dict[str, Any]:
    """Everything of a run that must not depend on time or interruptions."""
    run = folder / "runs" / "tiny"
    metrics = [json.loads(line) for line in (run / "train" / "metrics.jsonl").read_text().splitlines()]
    answers = [json.loads(line) for line in (run / "evaluate" / "answers" / "tuned.jsonl").read_text().splitlines()]
    return {
        "ledger": files.read_json(run / "prepare" / "ledger.json"),
        "splits": files.read_json(run / "prepare" / "stage.json")["outputs"],
        "weights": files.sha256(run / "train" / "model" / "adapter_model.safetensors"),
        "losses": [(r["step"], r.get("loss"), r.get("validation_loss"), r["tokens"]) for r in metrics],
        "answers": [(a["id"], a["answer"]) for a in answers],
        "metrics": files.read_json(run / "evaluate" / "metrics.json"),
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    folder = make_folder(tmp_path_factory.mktemp("finished"), tiny_base)
    done = pakar("run", "recipe.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_run_leaves_report_card_and_a_model_that_loads_without_pakar(finished: Path, tiny_base: Path) -> None:
    run = finished / "runs" / "tiny"
    for name in ("report.html", "report.json", "MODEL_CARD.md", "recipe.yaml", "run.json"):
        assert (run / name).stat().st_size > 0
    base = AutoModelForCausalLM.from_pretrained(tiny_base)
    tuned = PeftModel.from_pretrained(base, str(run / "train" / "model"))
    tokenizer = AutoTokenizer.from_pretrained(run / "train" / "model")
    asked = [{"role": "user", "content": "Why?"}]
    rendered = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    ids = torch.tensor([tokenizer(rendered, add_special_tokens=False)["input_ids"]])
    assert torch.isfinite(tuned(input_ids=ids).logits).all()
    assert not [p for p in run.rglob("*") if p.suffix in (".bin", ".pt", ".pkl", ".tmp")]


def test_the_same_recipe_gives_the_same_everything(finished: Path, tmp_path: Path, tiny_base: Path) -> None:
    again = make_folder(tmp_path / "again", tiny_base)
    assert pakar("run", "recipe.yaml", cwd=again).returncode == 0
    assert results(again) == results(finished)


def test_the_order_of_the_rows_changes_nothing_in_the_weights(finished: Path, tmp_path: Path, tiny_base: Path) -> None:
    folder = make_folder(tmp_path / "reversed", tiny_base)
    tiny.write_pairs(folder / "rows.csv", tiny.pairs(30)[::-1])
    assert pakar("run", "recipe.yaml", cwd=folder).returncode == 0
    assert results(folder)["weights"] == results(finished)["weights"]


def test_an_unfinished_training_is_not_thrown_away_unless_asked_to(tmp_path: Path, tiny_base: Path) -> None:
    folder = make_folder(tmp_path / "changed", tiny_base)
    process = start("run", "recipe.yaml", "--set", "train.epochs=400", cwd=folder)
    checkpoints = folder / "runs" / "tiny" / "train" / "checkpoints"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(checkpoints.glob("step-0000000[2-9]")):
        time.sleep(0.05)
    process.kill()
    process.communicate()
    refused = pakar("train", "recipe.yaml", cwd=folder)
    assert refused.returncode == 2
    assert "cannot be gone on with, because this changed since it began: train.epochs (400 → 3)" in refused.stderr
    assert "Traceback" not in refused.stderr
    done = pakar("run", "recipe.yaml", "--restart", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "train: the unfinished training is thrown away, as --restart asks" in done.stderr
    assert files.read_json(folder / "runs" / "tiny" / "run.json")["command"] == ["pakar", "run", "recipe.yaml"]


def test_a_second_run_skips_all_and_a_changed_value_reruns_only_what_it_must(tmp_path: Path, tiny_base: Path) -> None:
    folder = make_folder(tmp_path / "run", tiny_base)
    assert pakar("run", "recipe.yaml", cwd=folder).returncode == 0
    again = pakar("run", "recipe.yaml", cwd=folder)
    assert [line for line in again.stderr.splitlines() if line.endswith("unchanged, skipped")] == [
        "prepare: unchanged, skipped",
        "train: unchanged, skipped",
        "evaluate: unchanged, skipped",
    ]
    changed = pakar("run", "recipe.yaml", "--set", "train.epochs=1", cwd=folder)
    assert "prepare: unchanged, skipped" in changed.stderr
    assert "train: runs again, because train section changed" in changed.stderr
    assert "evaluate: runs again, because tuned model changed" in changed.stderr


def test_killed_at_random_moments_it_ends_up_with_the_same_weights(
    finished: Path, tmp_path: Path, tiny_base: Path
) -> None:
    chance = random.Random(7)
    folder = make_folder(tmp_path / "killed", tiny_base)
    kills = 0
    while kills < 8:
        process = start("run", "recipe.yaml", cwd=folder)
        # Most of a run's time goes into imports; the moments of interest are when files appear.
        _wait_for_progress(process, folder, chance)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
    done = pakar("run", "recipe.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert kills >= 3
    assert results(folder) == results(finished)
    assert not list((folder / "runs").rglob("*.tmp"))


def _wait_for_progress(process: subprocess.Popen[str], folder: Path, chance: random.Random) -> None:
    """Wait until the run has written something new, then a random moment more."""
    before = _newest(folder)
    while process.poll() is None and _newest(folder) == before:
        time.sleep(0.02)
    time.sleep(chance.uniform(0, 1.5))


def _newest(folder: Path) -> int:
    found = 0
    for root, _, names in os.walk(folder / "runs"):
        for name in names:
            if name != ".lock":
                try:
                    found = max(found, (Path(root) / name).stat().st_mtime_ns)
                except FileNotFoundError:  # just removed
                    continue
    return found


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_end_it_saves_the_running_step_and_the_next_run_goes_on_from_it(
    tmp_path: Path, tiny_base: Path, number: int, code: int
) -> None:
    folder = make_folder(tmp_path / "interrupted", tiny_base)
    rarely = [
        "--set",
        "train.epochs=4000",
        "--set",
        "train.checkpoint_every=5000",
        "--set",
        "train.validation.every=20000",
    ]
    process = start("run", "recipe.yaml", *rarely, cwd=folder)
    metrics = folder / "runs" / "tiny" / "train" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.05)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code, told
    assert "Traceback" not in told
    steps = files.read_json_lines(metrics)[-1]["step"]
    assert f"interrupted; the same command goes on where this one stopped: step {steps} of 20000 is saved" in told
    again = start("train", "recipe.yaml", *rarely, cwd=folder)
    assert again.stderr is not None
    assert any(f"train: goes on from step {steps} of 20000" in line for line in again.stderr)
    again.kill()
    again.communicate()


def test_an_interrupted_training_goes_on_from_its_checkpoint(tmp_path: Path, tiny_base: Path) -> None:
    folder = make_folder(tmp_path / "resumed", tiny_base)
    process = start("run", "recipe.yaml", "--set", "train.epochs=30", cwd=folder)
    checkpoints = folder / "runs" / "tiny" / "train" / "checkpoints"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(checkpoints.glob("step-0000000[4-9]")):
        time.sleep(0.02)
    process.kill()
    process.communicate()
    done = pakar("train", "recipe.yaml", "--set", "train.epochs=30", cwd=folder)
    assert "train: goes on from step" in done.stderr


def test_two_processes_cannot_work_in_one_run(tmp_path: Path, tiny_base: Path) -> None:
    folder = make_folder(tmp_path / "locked", tiny_base)
    process = start("run", "recipe.yaml", "--set", "train.epochs=400", cwd=folder)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (folder / "runs" / "tiny" / "run.json").exists():
        time.sleep(0.02)
    other = pakar("run", "recipe.yaml", cwd=folder)
    process.kill()
    process.communicate()
    assert other.returncode == 1
    assert "another pakar process is working" in other.stderr


def test_a_full_disk_ends_with_5_and_words_and_can_be_gone_on_with(
    finished: Path, tmp_path: Path, tiny_base: Path
) -> None:
    folder = make_folder(tmp_path / "full", tiny_base)
    small = folder / "runs"
    small.mkdir()
    library = ctypes.CDLL(None, use_errno=True)
    if library.mount(b"tmpfs", str(small).encode(), b"tmpfs", 0, b"size=400k") != 0:
        pytest.skip("mounting a small file system needs more rights")
    try:
        full = pakar("run", "recipe.yaml", cwd=folder)
        assert full.returncode == 5, full.stderr
        assert "the disk is full" in full.stderr
        assert "Traceback" not in full.stderr
        assert library.mount(b"tmpfs", str(small).encode(), b"tmpfs", 32, b"size=64m") == 0  # MS_REMOUNT
        done = pakar("run", "recipe.yaml", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert results(folder)["weights"] == results(finished)["weights"]
    finally:
        library.umount(str(small).encode())
