"""Training on the workers of a Spark cluster, started there by PySpark's own TorchDistributor, as a stage in barrier mode.

The processes are started by torchrun on every worker and are no different from others: they read and write the run
directory, which therefore has to be on storage that all machines share. Nothing travels through Spark but its path.
"""

from __future__ import annotations

import io
import logging
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from pakar import __version__, progress, records
from pakar.errors import RecipeError, UserError
from pakar.recipe import OnSpark, Spark
from pakar.run import Run
from pakar.spark.session import open_session, reason
from pakar.train.launch import failure

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KEY = "train.launch"
GPUS = "spark.task.resource.gpu.amount"
SECONDS_BETWEEN_LOOKS = 1.0


def train(run: Run, launch: OnSpark) -> None:
    """Train the run in `launch.count` processes of the cluster; returns when the model is written.

    Raises:
        RecipeError: the master has fewer places than processes.
        UserError: Spark cannot be started; or what the first process that failed had to say.
    """
    _check_places(launch)
    with ExitStack() as stack:
        session = open_session(_asked(run, launch), stack, key=KEY, instead="here")
        progress.note(f"train: in {launch.count} processes on Spark, {launch.master}")
        try:
            with _workers_unheard(), _following(run):
                _distribute(session, run, launch.count)
        except Exception as error:  # whatever Spark or Java may raise
            told = failure.take(run.training_failure_file)
            raise told or _lost(str(error)) from error
    run.training_failure_file.unlink(missing_ok=True)  # Spark may have tried again, and got through


def carry_out(directory: str, version: str, code: str) -> None:
    """Be one process of the team; runs on a worker.

    Raises:
        RuntimeError: this worker is not what the training needs.
        SystemExit: training failed; the words lie in the run directory.
    """
    from pakar.train.launch import start  # noqa: PLC0415 - PySpark pickles this function's module by name
    from pakar.train.stage import fit  # noqa: PLC0415

    if (__version__, records.code_fingerprint("train")) != (version, code):
        raise RuntimeError(f"this worker has another Pakar ({__version__}) than the command ({version}), or other code")
    if not (Path(directory) / "recipe.yaml").exists():
        raise RuntimeError(f"this worker does not see the run directory {directory}; it must be on shared storage")
    progress.silence_libraries()
    progress.quiet()
    ended = start.work(Path(directory), fit)
    if ended:
        raise SystemExit(ended)


def _check_places(launch: OnSpark) -> None:
    """A barrier stage that never finds its places would be waited for."""
    local = re.fullmatch(r"local(?:\[(\d+)[\d,]*\])?", launch.master)
    places = int(local[1] or 1) if local else launch.count
    if places < launch.count:
        raise RecipeError(f"train.launch.count = {launch.count}, but master {launch.master} has places for {places} at a time",
                          next_step=f"--set 'train.launch.master=local[{launch.count}]', or --set train.launch.count={places}.")  # fmt: skip


def _asked(run: Run, launch: OnSpark) -> Spark:
    """The session to open; where preparation uses the same master, with the same settings."""
    prepare = run.recipe.prepare.executor
    settings = dict(prepare.settings) if prepare.kind == "spark" and prepare.master == launch.master else {}
    threads = settings.get("spark.task.cpus", "1")  # of a process: what Spark has reserved for it
    ours = {
        "spark.executorEnv.OMP_NUM_THREADS": threads,
        "spark.scheduler.barrier.maxConcurrentTasksCheck.maxFailures": "4",  # a minute; Spark's own patience is ten
    }
    return Spark(master=launch.master, settings=ours | settings)


def _distribute(session: SparkSession, run: Run, count: int) -> None:
    from pyspark.ml.torch.distributor import TorchDistributor  # noqa: PLC0415 - without PySpark there is still something to say

    logging.getLogger("TorchDistributor").addHandler(logging.NullHandler())  # else it would add one that prints
    use_gpu = session.conf.get(GPUS, "0") not in (None, "0")
    distributor = TorchDistributor(num_processes=count, local_mode=False, use_gpu=use_gpu)
    distributor.run(carry_out, str(run.directory.resolve()), __version__, records.code_fingerprint("train"))


def _lost(text: str) -> UserError:
    told = re.search(r"RuntimeError: (this worker .*)", text)
    return UserError(
        f"training on Spark was broken off: {told[1] if told else reason(text)}",
        next_step="the same command goes on from the last checkpoint; `-v` shows all that Spark says.",
    )


@contextmanager
def _workers_unheard() -> Iterator[None]:
    """Keep to oneself what workers print, which PySpark repeats on standard error: the failure file has their words.

    Progress goes on being shown. With `-v` all is heard.
    """
    heard = sys.stderr
    unheard = heard if logging.getLogger("pyspark").isEnabledFor(logging.WARNING) else io.StringIO()
    progress.console.file = heard
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(unheard):
            yield
    finally:
        progress.console.file = None  # type: ignore[assignment] # standard error again, whatever it is then


@contextmanager
def _following(run: Run) -> Iterator[None]:
    """Show progress by the metrics file: workers cannot speak to this terminal."""
    ended = threading.Event()

    def follow() -> None:
        with progress.track("training", unit="steps") as tracker:
            while not ended.wait(SECONDS_BETWEEN_LOOKS):
                if news := _lines(run.train_metrics_file) - tracker.done:
                    tracker.advance(news)

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        ended.set()
        follower.join()


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
