"""The Spark executor: what comes back from workers, what is said when Spark cannot work, what is tried again."""

from __future__ import annotations

import errno
import functools
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pyspark import cloudpickle

from pakar.errors import DataError, RecipeError, ResourceError, UserError
from pakar.prepare.executor import Piece, Report, finish
from pakar.prepare.spark import SparkExecutor, job, mapper
from pakar.prepare.spark.worker import Order, TaskFailedError, carry_out, own_code, report_in
from pakar.recipe import Spark
from pakar.spark import needs
from pakar.spark.session import reason
from tests.prepare import spark_cluster


def pieces(folder: Path, count: int, *what: Any) -> list[Piece]:
    return [Piece(number, folder / "reports" / f"{number}.json", what) for number in range(count)]


@pytest.fixture(scope="class")
def spark() -> Iterator[SparkExecutor]:
    """A session, which is gone afterwards, and its Java process with it."""
    with SparkExecutor(Spark(master="local[2]")) as executor:
        yield executor
    assert "java" not in [process.name() for process in psutil.Process().children(recursive=True)]


class TestWithSpark:
    pytestmark = spark_cluster.needs_spark

    def test_every_piece_is_done_and_reported_once(self, spark: SparkExecutor, tmp_path: Path) -> None:
        def task(piece: Piece) -> Report:
            return finish(piece, {"rows": piece.number * 10})

        found = list(spark.map(task, pieces(tmp_path, 70)))
        assert sorted(report["number"] for report in found) == list(range(70))
        assert sum(report["rows"] for report in found) == sum(range(70)) * 10
        assert [path.name for path in tmp_path.rglob("*") if path.name.startswith(".")] == []

    def test_no_pieces_no_reports(self, spark: SparkExecutor) -> None:
        assert list(spark.map(lambda piece: {}, [])) == []

    def test_reports_come_while_others_are_still_worked_on(self, spark: SparkExecutor, tmp_path: Path) -> None:
        heard = tmp_path / "heard"

        def task(piece: Piece) -> Report:
            deadline = time.monotonic() + 90
            while piece.number == 1 and not heard.exists():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            return finish(piece, {"rows": 1})

        reports = spark.map(task, pieces(tmp_path, 2))
        assert next(reports)["number"] == 0
        heard.touch()
        assert next(reports)["number"] == 1

    def test_pieces_that_are_made_slowly_are_worked_on_meanwhile(self, spark: SparkExecutor, tmp_path: Path) -> None:
        def task(piece: Piece) -> Report:
            return finish(piece, {"rows": 1})

        def slowly() -> Iterator[Piece]:
            first, second = pieces(tmp_path, 2)
            yield first
            time.sleep(mapper.SECONDS_TO_GATHER)
            yield second  # with the first
            deadline = time.monotonic() + 90
            while not first.report.exists():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield Piece(2, tmp_path / "reports" / "2.json")

        assert len(list(spark.map(task, slowly()))) == 3

    @pytest.mark.parametrize("kind", [UserError, RecipeError, DataError, ResourceError])
    def test_a_users_mistake_arrives_as_it_was_raised(
        self, kind: type[UserError], spark: SparkExecutor, tmp_path: Path
    ) -> None:
        def task(piece: Piece) -> Report:
            raise kind("the file is broken", next_step="mend it.")

        with pytest.raises(kind) as caught:
            list(spark.map(task, pieces(tmp_path, 2)))
        assert (caught.type, caught.value.exit_code) == (kind, kind.exit_code)
        assert str(caught.value) == "the file is broken\n  Next: mend it."

    def test_a_full_disk_on_a_worker_is_a_matter_of_resources(self, spark: SparkExecutor, tmp_path: Path) -> None:
        def task(piece: Piece) -> Report:
            raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.raises(ResourceError, match="the disk is full"):
            list(spark.map(task, pieces(tmp_path, 1)))

    def test_a_fault_of_the_program_keeps_the_workers_traceback(self, spark: SparkExecutor, tmp_path: Path) -> None:
        def task(piece: Piece) -> Report:
            return {"rows": 1 // piece.number}

        with pytest.raises(TaskFailedError, match=r"(?s)the worker .*in task.*ZeroDivisionError"):
            list(spark.map(task, pieces(tmp_path, 1)))

    def test_workers_have_one_thread_and_the_drivers_python(self, spark: SparkExecutor, tmp_path: Path) -> None:
        def task(piece: Piece) -> Report:
            import polars  # noqa: PLC0415 - on the worker

            return finish(
                piece,
                {"threads": polars.thread_pool_size(), "omp": os.environ["OMP_NUM_THREADS"], "python": sys.executable},
            )

        (report,) = spark.map(task, pieces(tmp_path, 1))
        assert (report["threads"], report["omp"], report["python"]) == (1, "1", sys.executable)

    def test_a_killed_worker_is_replaced_and_its_piece_done_again(
        self, spark: SparkExecutor, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        def task(piece: Piece) -> Report:
            try:
                (tmp_path / "killed").touch(exist_ok=False)
            except FileExistsError:
                return finish(piece, {"rows": 1})
            os.kill(os.getpid(), signal.SIGKILL)
            return {}

        assert sorted(r["number"] for r in spark.map(task, pieces(tmp_path, 6))) == list(range(6))
        assert "warning: Spark gave up work, which is done again: " in capfd.readouterr().err

    def test_workers_that_are_killed_again_and_again_end_in_words(
        self, spark: SparkExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def task(piece: Piece) -> Report:
            os.kill(os.getpid(), signal.SIGKILL)
            return {}

        monkeypatch.setattr(mapper, "MOST_FAILURES", 1)
        monkeypatch.setattr(spark, "_failures", 0)
        with pytest.raises(
            ResourceError, match=r"Spark gave up work 2 times, most likely because memory ran out.*worker"
        ):
            list(spark.map(task, pieces(tmp_path, 1)))

    def test_a_report_that_somebody_left_meanwhile_is_taken(self, spark: SparkExecutor, tmp_path: Path) -> None:
        def task(piece: Piece) -> Report:
            finish(piece, {"rows": 7})
            raise FileNotFoundError("what the other one removed")

        assert [report["rows"] for report in spark.map(task, pieces(tmp_path, 1))] == [7]

    def test_another_version_of_pakar_on_a_worker_is_told(
        self, spark: SparkExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(job, "__version__", "9.9.9")
        with pytest.raises(UserError, match=r"the worker .* has Pakar \d.*, this machine Pakar 9\.9\.9") as caught:
            list(spark.map(lambda piece: {}, pieces(tmp_path, 1)))
        assert "pip install 'pakar[spark]==9.9.9'" in str(caught.value)

    def test_other_code_of_the_same_version_is_told(
        self, spark: SparkExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mapper, "own_code", lambda: "other")
        with pytest.raises(UserError, match="has other code of Pakar"):
            list(spark.map(lambda piece: {}, pieces(tmp_path, 1)))

    def test_a_session_that_is_already_there_is_used_and_left_alone(self, spark: SparkExecutor, tmp_path: Path) -> None:
        def task(piece: Piece) -> Report:
            return finish(piece, {"rows": 1})

        with SparkExecutor(Spark(master="spark://nowhere:1")) as second:
            assert len(list(second.map(task, pieces(tmp_path / "one", 1)))) == 1
        assert len(list(spark.map(task, pieces(tmp_path / "two", 1)))) == 1


def test_a_worker_that_does_not_see_the_run_directory_says_so(tmp_path: Path) -> None:
    order = Order(own_code(), tmp_path / "elsewhere" / ".token.tmp", functools.partial(finish, report={"rows": 1}))
    told = carry_out(pickle.dumps(order), pickle.dumps(pieces(tmp_path, 1)[0]))
    with pytest.raises(UserError, match="does not see the run directory") as caught:
        report_in(told)
    assert "--runs-dir" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_worker_without_pakar_says_so() -> None:
    work = cloudpickle.dumps(job._work("1.2.3", {}, b"", [b""]))  # type: ignore[no-untyped-call]
    program = (
        "import sys; sys.modules['pakar'] = None; import pickle, pyarrow as pa\n"
        "work = pickle.loads(sys.stdin.buffer.read())\n"
        "(batch,) = work(iter([pa.RecordBatch.from_pydict({'id': [0]})])); print(batch.column(0)[0].as_py())"
    )
    done = subprocess.run([sys.executable, "-c", program], input=work, capture_output=True, check=True)
    assert "has no Pakar, this machine Pakar 1.2.3" in json.loads(done.stdout)["error"]["what"]


def test_a_worker_ends_when_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch()
    program = (
        "import sys, time, pathlib; from pakar.prepare.spark.worker import _ends_with\n"
        "with _ends_with(pathlib.Path(sys.argv[1])): print('begun', flush=True); time.sleep(100)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(token)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        token.unlink()
        assert process.wait(20) == 1


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment', 17),
        ('java version "1.8.0_392"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ('openjdk version "25-ea" 2025-09-16', 25),
        ("The operation couldn’t be completed. Unable to locate a Java Runtime.", None),
    ],
)
def test_javas_version_is_read_from_what_it_says(told: str, version: int | None) -> None:
    assert needs.java_version(told) == version


def fake_java(folder: Path, says: str) -> None:
    (folder / "bin").mkdir()
    java = folder / "bin" / "java"
    java.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    java.chmod(0o755)


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ('openjdk version "11.0.2" 2019-01-15', "needs Java 17 or newer; .*/bin/java is version 11"),
        ("", "is of no known version .it says nothing"),
        (None, "needs Java 17 or newer, and there is no .*/bin/java, where JAVA_HOME points"),
    ],
)
def test_java_that_is_missing_or_too_old_is_told_with_the_command_that_installs_it(
    says: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if says is not None:
        fake_java(tmp_path, says)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(UserError, match=message) as caught, SparkExecutor(Spark(master="local[1]")):
        pass
    assert "apt-get install openjdk-17-jre-headless" in str(caught.value)


def test_java_that_is_nowhere_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is no `java` on the PATH"):
        needs.check_java()


def test_pyspark_that_is_missing_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(UserError, match="PySpark is not installed") as caught, SparkExecutor(Spark()):
        pass
    assert "pip install 'pakar[spark]'" in str(caught.value)


@pytest.mark.parametrize("scheme", ["spark", "sc"])
def test_a_master_that_does_not_answer_is_told_at_once(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in needs.PROXIES:
        monkeypatch.delenv(name, raising=False)
    port = spark_cluster.free_port()
    started = time.monotonic()
    with pytest.raises(UserError, match=f"{scheme}://127.0.0.1:{port} cannot be reached: 127.0.0.1:{port}: Conn"):
        needs.check_master(f"{scheme}://127.0.0.1:{port}")
    assert time.monotonic() - started < 2 * needs.SECONDS_TO_ANSWER


@pytest.mark.parametrize("master", ["spark://host:port", "spark://[::1:7077", "spark://host:99999"])
def test_a_master_that_is_no_address_is_told(master: str) -> None:
    with pytest.raises(UserError, match="is no address"):
        needs.check_master(master)


def test_one_of_several_masters_is_enough() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        needs.check_master(f"spark://127.0.0.1:{spark_cluster.free_port()},127.0.0.1:{port}")
        needs.check_master(f"sc://127.0.0.1:{port}/;token=secret")


def test_yarn_without_the_clusters_configuration_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    monkeypatch.delenv("YARN_CONF_DIR", raising=False)
    with pytest.raises(UserError, match="neither HADOOP_CONF_DIR nor YARN_CONF_DIR"):
        needs.check_master("yarn")


def test_the_reason_is_found_in_a_stack_trace() -> None:
    trace = (
        "An error occurred while calling o42.collectToPython.\n: org.apache.spark.SparkException: Job aborted due to stage failure\n"
        "\tat org.apache.spark.scheduler.DAGScheduler.abortStage(DAGScheduler.scala:1)\n"
        "Caused by: org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)\n\tat java.base/java.lang.Thread.run\n"
    )
    assert reason(trace) == "Caused by: org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)"
    assert reason("") == "no reason given"
