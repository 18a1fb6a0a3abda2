"""Starting and ending Spark."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import psutil

from pakar import progress
from pakar.errors import UserError
from pakar.recipe import Spark
from pakar.spark.needs import check_java, check_master
from pakar.workers import SINGLE_THREADED

if TYPE_CHECKING:
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

# ruff: noqa: PLC0415 - without PySpark there is still something to say

ALWAYS = {
    "spark.ui.showConsoleProgress": "false",
    **{f"spark.executorEnv.{name}": value for name, value in SINGLE_THREADED.items()},
}
ON_THIS_MACHINE = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
}
"""For `local[N]`: nobody else can connect, and no port is fought for."""


PREPARATION = "prepare.executor"
"""Where the recipe asks for Spark, if nothing else is said."""


def open_session(section: Spark, stack: ExitStack, *, key: str = PREPARATION, instead: str = "local") -> SparkSession:
    """The session that is already there, or a new one.

    Args:
        section: Master and settings.
        stack: Gets what ends the new one.
        key: Where the recipe asks for it.
        instead: The kind that does without Spark.

    Raises:
        UserError: PySpark or Java are missing, or the master does not answer.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UserError(f"{key}.kind is spark, but PySpark is not installed here ({error})",
                        next_step=f"`pip install 'pakar[spark]'`, or do without: --set {key}.kind={instead}") from None  # fmt: skip
    there = SparkSession.getActiveSession()
    if there is not None:
        progress.note(f"{key.split('.', maxsplit=1)[0]}: uses the Spark session that is already there")
        return there
    check_master(section.master, key)
    if section.master.startswith("sc://"):
        return _connected(section, stack, key)
    check_java()
    return _started(section, stack, key)


def reason(text: str) -> str:
    """The line of Spark's many that says what happened."""
    lines = [
        line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("at ", "File "))
    ]
    telling = [line for line in lines if re.search(r"(Exception|Error)\b[^ ]*: |crashed|exited", line)]
    return next(iter([*telling[-1:], *lines]), "no reason given")[:300]


def _connected(section: Spark, stack: ExitStack, key: str) -> SparkSession:
    """A session of a Spark Connect server."""
    from pyspark.sql import SparkSession

    try:
        session = SparkSession.builder.remote(section.master).config(map=dict(section.settings)).getOrCreate()
        stack.callback(os.environ.pop, "SPARK_CONNECT_MODE_ENABLED", None)
        stack.callback(_stop, session)
    except Exception as error:  # whatever gRPC may raise
        raise _no_start(section.master, str(error), key) from error
    return session


def _started(section: Spark, stack: ExitStack, key: str) -> SparkSession:
    """A session in a Java process of our own; its chatter is kept out of the way, and looked into if it fails."""
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    settings = ALWAYS | (ON_THIS_MACHINE if section.master.startswith("local") else {}) | section.settings
    os.environ.setdefault("PYSPARK_PYTHON", settings.get("spark.pyspark.python", sys.executable))
    conf = SparkConf(loadDefaults=False).setMaster(section.master).setAppName("Pakar").setAll(list(settings.items()))
    log = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace"))  # noqa: SIM115
    loud = logging.getLogger("pyspark").isEnabledFor(logging.WARNING)
    try:
        gateway = _launch(conf, 2 if loud else log)
        stack.callback(_end_java, gateway)
        session = SparkSession(SparkContext(conf=conf, gateway=gateway))
        stack.callback(_stop, session)
    except Exception as error:  # whatever Java may raise
        log.seek(0)
        raise _no_start(section.master, f"{error}\n{log.read()}", key) from error
    if not loud:
        session.sparkContext.setLogLevel("ERROR")
    return session


def _launch(conf: SparkConf, output: Any) -> Any:
    """Start Java; if that is broken off, such as by Ctrl-C, end it: by itself it would wait for ever."""
    from pyspark.java_gateway import launch_gateway

    before = psutil.Process().children(recursive=True)
    try:
        return launch_gateway(conf, {"stdout": output, "stderr": output})  # type: ignore[no-untyped-call]
    except BaseException:
        for process in set(psutil.Process().children(recursive=True)) - set(before):
            with suppress(psutil.Error):
                process.kill()
        raise


def _no_start(master: str, text: str, key: str) -> UserError:
    return UserError(
        f"Spark could not start with master {master}: {reason(text)}",
        next_step=f"look at {key} in the recipe; `-v` shows all that Spark says.",
    )


def _stop(session: SparkSession) -> None:
    with suppress(Exception):  # it may be lost already
        session.stop()


def _end_java(gateway: Any) -> None:
    """What follows needs the memory of the Java process."""
    from pyspark import SparkContext

    SparkContext._gateway = SparkContext._jvm = None
    with suppress(Exception):
        gateway.shutdown()
    if gateway.proc is not None:
        gateway.proc.stdin.close()  # it ends with its input
        gateway.proc.wait()
