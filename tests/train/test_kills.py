"""`kill -9` at random moments of a training's whole life, also while it saves: the weights must be those of an unbroken one."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pakar import files
from tests import tiny
from tests.command import environment, start
from tests.train.nursery import Nursery

pytestmark = pytest.mark.slow

TIMES = {"seconds", "tokens_per_second", "memory_bytes"}
SAVING_OFTEN = ["--set", "train.checkpoint_every=1", "--set", "train.epochs=36"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, forks: Nursery) -> Path:
    """A run whose data is prepared."""
    folder = tmp_path_factory.mktemp("prepared")
    data = tiny.write_pairs(folder / "rows.csv", tiny.pairs(30))
    tiny.write_recipe(folder / "recipe.yaml", data, tiny_base)
    done = forks.pakar("prepare", "recipe.yaml", "--set", "prepare.executor={kind: local, workers: 1}", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def results(folder: Path) -> dict[str, Any]:
    """What must not depend on kills."""
    train = folder / "runs" / "tiny" / "train"
    lines = [json.loads(line) for line in (train / "metrics.jsonl").read_text().splitlines()]
    facts = files.read_json(train / "training.json")
    return {
        "weights": {path.name: files.sha256(path) for path in (train / "model").glob("*.safetensors")},
        "metrics": [{key: value for key, value in line.items() if key not in TIMES} for line in lines],
        "facts": {key: value for key, value in facts.items() if key not in TIMES},
    }


def trained(forks: Nursery, prepared: Path, folder: Path, arguments: list[str]) -> dict[str, Any]:
    """Train to the end, in a copy of the run or in `folder` if that is there."""
    if not folder.exists():
        shutil.copytree(prepared, folder)
    done = forks.pakar("train", "recipe.yaml", *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    return results(folder)


def killed(folder: Path, arguments: list[str], kills: int, seed: int) -> list[dict[str, Any]]:
    """What happened to every attempt of `kills.py`."""
    command = [sys.executable, "-m", "tests.train.kills", str(folder), str(kills), str(seed), "recipe.yaml", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(), timeout=500)
    assert done.returncode == 0, done.stderr
    attempts: list[dict[str, Any]] = json.loads(done.stdout)
    return attempts


@pytest.mark.parametrize(("method", "kills"), [("lora", 50), ("full", 5), ("qlora", 5)])
def test_kills_at_random_moments_leave_the_weights_of_an_unbroken_training(
    prepared: Path, tmp_path: Path, forks: Nursery, method: str, kills: int
) -> None:
    arguments = [*SAVING_OFTEN, "--set", f"train.method={{kind: {method}}}"]
    unbroken = trained(forks, prepared, tmp_path / "unbroken", arguments)
    folder = shutil.copytree(prepared, tmp_path / "killed")
    attempts = killed(folder, arguments, kills, seed=len(method))
    assert [a["told"] for a in attempts if not a["killed"]] == []
    assert len(attempts) == kills
    assert sum(a["saving"] for a in attempts) >= max(1, kills // 10)
    for attempt in attempts:
        went_on = re.search(r"goes on from step (\d+)", attempt["told"])
        assert went_on is None or int(went_on[1]) == attempt["before"]
        assert "cannot be gone on from" not in attempt["told"]  # nothing torn was ever in sight
        assert "error" not in attempt["told"]
    assert trained(forks, prepared, folder, arguments) == unbroken
    assert not list((folder / "runs").rglob("*.tmp"))


def test_kills_of_the_command_line_itself_leave_the_weights_of_an_unbroken_training(
    prepared: Path, tmp_path: Path, forks: Nursery
) -> None:
    chance = random.Random(5)
    unbroken = trained(forks, prepared, tmp_path / "unbroken", SAVING_OFTEN)
    folder = shutil.copytree(prepared, tmp_path / "killed")
    checkpoints = folder / "runs" / "tiny" / "train" / "checkpoints"
    for _ in range(3):
        before = sorted(checkpoints.glob("step-*"))
        process = start("train", "recipe.yaml", *SAVING_OFTEN, cwd=folder)
        while process.poll() is None and sorted(checkpoints.glob("step-*")) == before:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.2))
        assert process.poll() is None
        process.kill()
        process.communicate()
    assert trained(forks, prepared, folder, SAVING_OFTEN) == unbroken
