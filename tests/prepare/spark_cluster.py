"""Real clusters of Spark on this machine: a standalone master with two workers, and a Spark Connect server."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyspark
import pytest

from pakar.errors import UserError
from pakar.spark.needs import check_java

SECONDS_TO_START = 180


def why_not() -> str:
    """Why Spark cannot run here; empty if it can."""
    try:
        check_java()
    except UserError as error:
        return str(error)
    return ""


needs_spark = [pytest.mark.spark, pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")]
"""Marks of tests that start Spark."""

QUIET = "{spark.driver.host: 127.0.0.1, spark.driver.bindAddress: 127.0.0.1, spark.ui.enabled: 'false', spark.executor.memory: 512m}"
"""Settings for a cluster on loopback."""


@contextmanager
def standalone(folder: Path) -> Iterator[str]:
    """A master and two workers with a core each; yields the master's address."""
    port = free_port()
    address = f"spark://127.0.0.1:{port}"
    master = ["org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]
    worker = ["org.apache.spark.deploy.worker.Worker", address, "--host", "127.0.0.1", "--webui-port", "0"]
    worker += ["--cores", "1", "--memory", "700m"]
    with ExitStack() as stack:
        log = stack.enter_context(_running("spark-class", master, folder / "master", r"I have been elected leader"))
        for number in (1, 2):
            home = folder / f"worker-{number}"
            stack.enter_context(
                _running("spark-class", [*worker, "--work-dir", str(home)], home, r"Successfully registered")
            )
        _wait_for(lambda: log.read_text().count("Registering worker") == 2)
        yield address


@contextmanager
def connect(folder: Path) -> Iterator[str]:
    """A Spark Connect server with two cores; yields its address."""
    port = free_port()
    settings = [
        *("spark.master=local[2]", f"spark.connect.grpc.binding.port={port}", "spark.connect.grpc.binding.address=127.0.0.1"),
        *("spark.driver.host=127.0.0.1", "spark.driver.bindAddress=127.0.0.1", "spark.ui.enabled=false"),
    ]  # fmt: skip
    server = "org.apache.spark.sql.connect.service.SparkConnectServer"
    arguments = ["--class", server, *(word for one in settings for word in ("--conf", one)), "spark-internal"]
    with _running("spark-submit", arguments, folder / "connect", r"Spark Connect server started"):
        yield f"sc://127.0.0.1:{port}"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def _running(program: str, arguments: list[str], folder: Path, ready: str) -> Iterator[Path]:
    """A process of Spark, from when its log says `ready`; yields the log."""
    folder.mkdir(parents=True)
    log = folder / "log.txt"
    command = [str(Path(pyspark.__file__).parent / "bin" / program), *arguments]
    environment = {
        **os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_DIRS": str(folder), "SPARK_DAEMON_MEMORY": "512m",
        "PYSPARK_PYTHON": sys.executable,
    }  # fmt: skip
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment, cwd=folder)
    try:
        _wait_for(lambda: process.poll() is not None or re.search(ready, log.read_text()) is not None)
        assert process.poll() is None, log.read_text()
        yield log
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while not there():
        assert time.monotonic() < deadline, "Spark did not start"
        time.sleep(0.1)
