"""QLoRA from a recipe on the CPU: it learns, and a killed training ends up with the same weights."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from pakar import files
from tests import tiny
from tests.command import pakar, start

pytestmark = pytest.mark.slow
MORE = ("--set", "train.method.kind=qlora", "--set", "train.epochs=12")


def folder(path: Path, base: Path) -> Path:
    path.mkdir()
    tiny.write_recipe(path / "recipe.yaml", tiny.write_pairs(path / "rows.csv", tiny.pairs(30)), base)
    assert pakar("prepare", "recipe.yaml", *MORE, cwd=path).returncode == 0
    return path


def weights(path: Path) -> str:
    return files.sha256(path / "runs" / "tiny" / "train" / "model" / "adapter_model.safetensors")


def test_qlora_learns_and_a_killed_training_ends_up_with_the_same_weights(tmp_path: Path, tiny_base: Path) -> None:
    whole, broken = folder(tmp_path / "whole", tiny_base), folder(tmp_path / "broken", tiny_base)
    done = pakar("train", "recipe.yaml", *MORE, cwd=whole)
    assert done.returncode == 0, done.stderr
    facts = files.read_json(whole / "runs" / "tiny" / "train" / "training.json")
    assert facts["method"] == "qlora"
    assert facts["best_validation_loss"] < facts["first_validation_loss"] - 0.3

    process = start("train", "recipe.yaml", *MORE, cwd=broken)
    checkpoints = broken / "runs" / "tiny" / "train" / "checkpoints"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not list(checkpoints.glob("step-0000000[4-9]")):
        time.sleep(0.02)
    process.kill()
    process.communicate()
    again = pakar("train", "recipe.yaml", *MORE, cwd=broken)
    assert "train: goes on from step" in again.stderr
    assert weights(broken) == weights(whole)


def test_the_bundled_base_trains_in_four_bits_from_a_recipe(tmp_path: Path) -> None:
    data = tiny.write_pairs(tmp_path / "rows.csv", tiny.pairs(30))
    tiny.write_recipe(tmp_path / "recipe.yaml", data, Path("starter"))
    for stage in ("prepare", "train"):
        done = pakar(stage, "recipe.yaml", *MORE[:2], "--set", "train.epochs=1", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert "kernels" not in done.stderr  # nothing of what libraries talk about among themselves
    records = (tmp_path / "runs" / "tiny" / "train" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(records[-1])["loss"] < json.loads(records[0])["loss"]
    config = files.read_json(tmp_path / "runs" / "tiny" / "train" / "model" / "adapter_config.json")
    assert not config["base_model_name_or_path"]
