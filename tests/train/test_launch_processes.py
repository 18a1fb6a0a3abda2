"""Two processes train what one trains: started by Pakar, by torchrun, and on Spark; sharded or not; killed and gone on."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from pakar import files
from tests import tiny
from tests.command import environment, pakar, start
from tests.prepare import spark_cluster
from tests.train.nursery import Nursery

pytestmark = pytest.mark.slow

LORA = "{kind: lora, rank: 4, alpha: 8, dropout: 0}"
DROPOUT = "{kind: lora, rank: 4, alpha: 8, dropout: 0.2}"
QLORA = "{kind: qlora, rank: 4, alpha: 8, dropout: 0}"
FULL = "{kind: full}"
HERE, TWO = "{kind: here}", "{kind: processes, count: 2}"
SHARDED = "{kind: processes, count: 2, sharding: full}"


LONG = "train.epochs=20"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, forks: Nursery) -> Path:
    folder = tmp_path_factory.mktemp("launch")
    data = tiny.write_pairs(folder / "rows.csv", tiny.pairs(31))  # uneven: 19 rows in batches of 4
    tiny.write_recipe(folder / "recipe.yaml", data, tiny_base)
    return trained(forks, folder, "prepare", "recipe.yaml", "--set", "prepare.executor.workers=1")


def options(method: str, launch: str, *more: str) -> list[str]:
    values = [f"train.method={method}", f"train.launch={launch}", "train.compute.precision=float32", *more]
    return ["train", "recipe.yaml", *(word for value in values for word in ("--set", value))]


def fresh(prepared: Path, folder: Path) -> Path:
    shutil.copytree(prepared, folder)
    return folder


def trained(forks: Nursery, folder: Path, *words: str) -> Path:
    done = forks.pakar(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def alone(prepared: Path, tmp_path_factory: pytest.TempPathFactory, forks: Nursery) -> dict[str, Path]:
    """Method → what one process made of it."""
    folder = tmp_path_factory.mktemp("alone")
    methods = (LORA, QLORA, FULL)
    return {m: trained(forks, fresh(prepared, folder / str(n)), *options(m, HERE)) for n, m in enumerate(methods)}


def losses(folder: Path) -> list[float]:
    records = files.read_json_lines(folder / "runs" / "tiny" / "train" / "metrics.jsonl")
    return [record[name] for record in records for name in ("loss", "validation_loss") if name in record]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (path,) = (folder / "runs" / "tiny" / "train" / "model").glob("*.safetensors")
    return dict(load_file(path))


def facts(folder: Path) -> dict[str, Any]:
    return dict(files.read_json(folder / "runs" / "tiny" / "train" / "training.json"))


def assert_equal(one: Path, other: Path) -> None:
    assert losses(other) == pytest.approx(losses(one), rel=1e-4)
    expected, found = weights(one), weights(other)
    assert found.keys() == expected.keys()
    assert all(torch.allclose(found[name], expected[name], atol=2e-3) for name in expected)
    counted = ("trainable_parameters", "total_parameters", "steps", "tokens", "best_step")
    assert [facts(other)[name] for name in counted] == [facts(one)[name] for name in counted]


@pytest.mark.parametrize(
    ("method", "launch"), [(LORA, TWO), (FULL, TWO), (FULL, SHARDED), (QLORA, SHARDED), (LORA, SHARDED)]
)
def test_two_processes_train_what_one_trains(
    alone: dict[str, Path], prepared: Path, tmp_path: Path, forks: Nursery, method: str, launch: str
) -> None:
    words = options(method, launch, "train.compute.micro_batch_tokens=64")
    folder = trained(forks, fresh(prepared, tmp_path / "two"), *words)
    assert_equal(alone[method], folder)
    assert facts(folder)["processes"] == 2
    assert facts(folder)["sharding"] == ("full" if launch == SHARDED else "none")


def test_torchrun_by_hand_starts_nothing_again(alone: dict[str, Path], prepared: Path, tmp_path: Path) -> None:
    folder = fresh(prepared, tmp_path / "torchrun")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "pakar"]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *options(LORA, HERE)],
            check=False, cwd=folder, capture_output=True, text=True, env=environment(), timeout=300,
        )  # fmt: skip

    done = run()
    assert done.returncode == 0, done.stderr
    assert_equal(alone[LORA], folder)
    assert facts(folder)["processes"] == 2
    assert done.stdout.count("The tuned model is in") == 1
    again = run()
    assert again.returncode == 0, again.stderr
    assert "train: unchanged, skipped" in again.stderr


@pytest.mark.spark
@pytest.mark.skipif(bool(spark_cluster.why_not()), reason=spark_cluster.why_not() or "-")
def test_spark_trains_what_one_process_trains(alone: dict[str, Path], prepared: Path, tmp_path: Path) -> None:
    folder = fresh(prepared, tmp_path / "spark")
    done = pakar(*options(LORA, "{kind: spark, master: 'local[2]', count: 2}"), "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert_equal(alone[LORA], folder)
    assert facts(folder)["processes"] == 2
    assert done.stdout.count("\n") == 1  # one JSON object, though workers print


@pytest.mark.spark
@pytest.mark.skipif(bool(spark_cluster.why_not()), reason=spark_cluster.why_not() or "-")
def test_a_mistake_is_told_from_spark_in_the_words_of_the_process(prepared: Path, tmp_path: Path) -> None:
    folder = fresh(prepared, tmp_path / "spark")
    method = "{kind: lora, targets: [nothing]}"
    done = pakar(*options(method, "{kind: spark, master: 'local[2]', count: 2}"), cwd=folder)
    assert done.returncode == 2
    assert "train.method.targets" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistake_ends_all_with_one_message(prepared: Path, tmp_path: Path, forks: Nursery) -> None:
    folder = fresh(prepared, tmp_path / "mistake")
    done = forks.pakar(*options("{kind: lora, targets: [nothing]}", TWO), cwd=folder)
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr
    assert not (folder / "runs" / "tiny" / "train" / "failure.json").exists()


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def begun(folder: Path, launch: str = TWO) -> subprocess.Popen[str]:
    """A long training in two processes that has saved a few steps."""
    process = start(*options(DROPOUT, launch, LONG), cwd=folder)
    checkpoints = folder / "runs" / "tiny" / "train" / "checkpoints"
    wait_for(
        lambda: process.poll() is not None or max(checkpoints.glob("step-*"), default=Path()).name >= "step-00000004"
    )
    return process


def team_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "pakar.train.launch.process" in child.cmdline()]


@pytest.fixture(scope="module")
def unbroken(prepared: Path, tmp_path_factory: pytest.TempPathFactory, forks: Nursery) -> Path:
    folder = fresh(prepared, tmp_path_factory.mktemp("unbroken") / "run")
    return trained(forks, folder, *options(DROPOUT, TWO, LONG))


def test_a_killed_process_ends_all_and_the_training_goes_on_exactly(
    unbroken: Path, prepared: Path, tmp_path: Path, forks: Nursery
) -> None:
    folder = fresh(prepared, tmp_path / "killed")
    process = begun(folder)
    members = team_of(process)
    members[1].kill()
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "process 1 of this training was killed by SIGKILL" in told
    assert "Traceback" not in told
    assert not any(member.is_running() for member in members)
    trained(forks, folder, *options(DROPOUT, TWO, LONG))
    assert losses(folder) == losses(unbroken)
    assert all(torch.equal(weight, weights(unbroken)[name]) for name, weight in weights(folder).items())


def test_when_the_command_is_killed_its_processes_end_too(prepared: Path, tmp_path: Path) -> None:
    process = begun(fresh(prepared, tmp_path / "killed"))
    members = team_of(process)
    assert len(members) == 2
    process.kill()
    process.communicate()
    wait_for(lambda: not any(m.is_running() and m.status() != psutil.STATUS_ZOMBIE for m in members))


def test_ctrl_c_saves_the_step_and_one_process_goes_on_where_two_stopped(
    prepared: Path, tmp_path: Path, forks: Nursery
) -> None:
    folder = fresh(prepared, tmp_path / "interrupted")
    process = begun(folder, SHARDED)
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "interrupted; the same command goes on where this one stopped" in told
    assert "Traceback" not in told
    done = forks.pakar(*options(DROPOUT, HERE, LONG), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "goes on from step" in done.stderr
    assert "but for rounding" in done.stderr
    assert facts(folder)["processes"] == 1
