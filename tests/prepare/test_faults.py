"""Killed at any moment, by whatever kills, preparation ends up in the same place, and leaves nobody and nothing behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from tests.command import COMMAND, environment, pakar
from tests.prepare import mixed_rows, spark_cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

ROWS = mixed_rows.rows(400)
LOCAL = "{kind: local, workers: 2}"
ON_SPARK = "{kind: spark, master: 'local[2]'}"
MARK = "PAKAR_TEST"
"""Environment variable by which all processes that come from a command are found, however far down."""
SECONDS_TO_GO = 30
"""For orphans. On a quiet machine they are gone after two or three."""


class Command(NamedTuple):
    """A running `pakar prepare`."""

    driver: subprocess.Popen[str]
    mark: str

    def workers(self) -> list[psutil.Process]:
        """All processes that come from it, but for itself."""
        return [process for process in marked(self.mark) if process.pid != self.driver.pid]


def marked(mark: str) -> list[psutil.Process]:
    """Living processes that have `mark` in their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == mark:
                found.append(process)
    return found


def start(folder: Path, executor: str) -> Command:
    mark = uuid.uuid4().hex
    driver = subprocess.Popen(
        [*COMMAND, "prepare", "recipe.yaml", "--set", f"prepare.executor={executor}"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=environment() | {MARK: mark},
    )  # fmt: skip
    return Command(driver, mark)


def make_folder(folder: Path, base: Path, parts: int = 16) -> Path:
    mixed_rows.write_recipe(folder, mixed_rows.write_parts(folder / "data", ROWS, parts), base)
    return folder


def outcome(folder: Path) -> dict[str, Any]:
    return mixed_rows.outcome(folder / "runs" / "mixed")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> dict[str, Any]:
    """The outcome of an unbroken run."""
    folder = tmp_path_factory.mktemp("unbroken")
    data = mixed_rows.write_parts(folder / "data", ROWS, 16)
    return mixed_rows.prepared(folder, data, tiny_base, "{kind: local, workers: 1}")


def kill_at_random(folder: Path, executor: str, chance: random.Random, most: int) -> int:
    """Start the command and kill itself or one of its workers, until it ends well; returns the kills."""
    kills = 0
    while True:
        command = start(folder, executor)
        while kills < most and _wait_for_news(command.driver, folder, chance):
            kills += 1
            workers = [process for process in command.workers() if not _is_tracker(process)]
            if not workers or chance.random() < 0.4:
                command.driver.send_signal(signal.SIGKILL)
                break
            with contextlib.suppress(psutil.Error):
                chance.choice(workers).kill()
        _, told = command.driver.communicate()
        if command.driver.returncode == 0:
            return kills
        assert "Traceback" not in told, told


def _is_tracker(process: psutil.Process) -> bool:
    """Python's own helper of multiprocessing; it does no work, and is loud when it is replaced."""
    with contextlib.suppress(psutil.Error):
        return "resource_tracker" in " ".join(process.cmdline())
    return True


def _wait_for_news(driver: subprocess.Popen[str], folder: Path, chance: random.Random) -> bool:
    """Wait until a file appears or goes, then a random moment more; False if the driver ended meanwhile."""
    before = _names(folder)
    while driver.poll() is None and _names(folder) == before:
        time.sleep(0.01)
    time.sleep(chance.uniform(0, 0.3))
    return driver.poll() is None


def _names(folder: Path) -> set[str]:
    return {f"{root}/{name}" for root, _, names in os.walk(folder / "runs" / "mixed" / "prepare") for name in names}


def test_killed_at_twelve_random_moments_it_ends_up_in_the_same_place(
    expected: dict[str, Any], tmp_path: Path, tiny_base: Path
) -> None:
    """The driver or one of its workers. Spark's processes and a cluster's executors are killed below, which makes twenty."""
    chance, kills = random.Random(11), 0
    while kills < 12:
        folder = make_folder(tmp_path / str(kills), tiny_base)
        kills += kill_at_random(folder, LOCAL, chance, most=12 - kills)
        assert outcome(folder) == expected


def test_no_worker_outlives_a_killed_driver(tmp_path: Path, tiny_base: Path) -> None:
    command = start(make_folder(tmp_path, tiny_base), LOCAL)
    assert _wait_for_news(command.driver, tmp_path, random.Random(1))
    assert command.workers()
    command.driver.kill()
    command.driver.communicate()
    assert _all_gone(command)


class TestOnSpark:
    pytestmark = spark_cluster.needs_spark

    def test_killed_at_random_moments_it_ends_up_in_the_same_place(
        self, expected: dict[str, Any], tmp_path: Path, tiny_base: Path
    ) -> None:
        """Kills the driver, its Java process, Spark's Python daemon or Python workers."""
        folder = make_folder(tmp_path, tiny_base)
        assert kill_at_random(folder, ON_SPARK, random.Random(5), most=4) >= 2
        assert outcome(folder) == expected

    def test_a_cluster_whose_executors_are_killed_goes_on(
        self, expected: dict[str, Any], tmp_path: Path, tiny_base: Path
    ) -> None:
        folder = make_folder(tmp_path, tiny_base)
        chance = random.Random(3)
        with spark_cluster.standalone(tmp_path / "cluster") as master:
            command = start(folder, f"{{kind: spark, master: '{master}', settings: {spark_cluster.QUIET}}}")
            for _ in range(2):
                if not _wait_for_news(command.driver, folder, chance):
                    break
                for process in _executors(str(tmp_path))[:1]:
                    process.kill()
            _, told = command.driver.communicate()
        assert command.driver.returncode == 0, told
        assert outcome(folder) == expected

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
    @pytest.mark.parametrize("when", ["starting", "working"])
    def test_nobody_outlives_the_driver(self, when: str, how: signal.Signals, tmp_path: Path, tiny_base: Path) -> None:
        command = start(make_folder(tmp_path, tiny_base), ON_SPARK)
        while not _has_come(when, command, tmp_path):
            assert command.driver.poll() is None
            time.sleep(0.05)
        os.killpg(command.driver.pid, how) if how == signal.SIGINT else command.driver.send_signal(how)
        _, told = command.driver.communicate()
        if how == signal.SIGINT:
            assert command.driver.returncode == 130
            assert "interrupted; the same command goes on" in told
            assert len(told.splitlines()) < 10, told
        assert _all_gone(command)


def _has_come(when: str, command: Command, folder: Path) -> bool:
    if when == "working":
        return any(name.endswith(".json") for name in _names(folder) if "/reports/" in name)
    return any("java" in process.name() for process in command.workers())


def _executors(folder: str) -> list[psutil.Process]:
    """The executors of a cluster whose workers live below `folder`."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if "CoarseGrainedExecutorBackend" in line and process.cwd().startswith(folder):
                found.append(process)
    return found


def _all_gone(command: Command) -> bool:
    deadline = time.monotonic() + SECONDS_TO_GO
    while command.workers() and time.monotonic() < deadline:
        time.sleep(0.1)
    return not command.workers()


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[ctypes.CDLL]:
    folder.mkdir(parents=True)
    library = ctypes.CDLL(None, use_errno=True)
    if library.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, f"size={size}".encode()) != 0:
        pytest.skip("mounting a small file system needs more rights")
    try:
        yield library
    finally:
        library.umount2(str(folder).encode(), 2)  # MNT_DETACH


def test_a_full_disk_ends_with_5_and_words_and_can_be_gone_on_with(
    expected: dict[str, Any], tmp_path: Path, tiny_base: Path
) -> None:
    folder = make_folder(tmp_path, tiny_base)
    with small_disk(folder / "runs", "250k") as library:
        full = pakar("prepare", "recipe.yaml", "--set", f"prepare.executor={LOCAL}", cwd=folder)
        assert full.returncode == 5, full.stderr
        assert "the disk is full" in full.stderr
        assert "Traceback" not in full.stderr
        assert library.mount(b"tmpfs", str(folder / "runs").encode(), b"tmpfs", 32, b"size=64m") == 0  # MS_REMOUNT
        done = pakar("prepare", "recipe.yaml", "--set", f"prepare.executor={LOCAL}", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert outcome(folder) == expected
