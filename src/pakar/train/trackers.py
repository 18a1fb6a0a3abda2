"""Programs that also get the metrics of a training: TensorBoard and MLflow, each behind one small class.

metrics.jsonl stays the truth. A tracker is given all of its lines when a training begins or goes on, and takes those that it
does not have; so a resumed training leaves no gap, no step twice, and one that gets a tracker late has the whole curve.

Nothing here is imported before a recipe asks for it, and nothing is sent anywhere: all files lie in the run directory.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

from pakar import files
from pakar.errors import RecipeError
from pakar.records import flattened

Name = Literal["tensorboard", "mlflow"]
Record = Mapping[str, Any]
"""A line of metrics.jsonl: `step`, and names with numbers."""

NEEDS: dict[Name, tuple[str, ...]] = {
    "tensorboard": ("tensorboard",),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
}
SECONDS_BETWEEN_WRITES = 5.0
"""MLflow's store takes some milliseconds for a write, whatever its size; what waits is lost with a crash, and made up for."""
LONGEST_PARAMETER = 6000
"""Characters of a value that MLflow stores."""


class Tracker(Protocol):
    """Takes the metrics of one training."""

    def add(self, record: Record) -> None:
        """Take the metrics of a step; steps come in order."""
        ...

    def close(self, *, finished: bool) -> None:
        """Write what still waits; `finished`: the training came to its end."""
        ...


def check(names: Sequence[Name]) -> None:
    """See to it that the programs are installed, before anything is computed.

    Raises:
        RecipeError: one is not.
    """
    for name in names:
        missing = [module for module in NEEDS[name] if importlib.util.find_spec(module) is None]
        if missing:
            raise RecipeError(f"train.trackers names {name}, but {', '.join(missing)} is not installed",
                              next_step=f"`pip install 'pakar[{name}]'`, or leave {name} out of train.trackers.")  # fmt: skip


@contextmanager
def tracking(
    names: Sequence[Name], directory: Path, *, run_name: str, parameters: Mapping[str, Any], past: Sequence[Record]
) -> Iterator[list[Tracker]]:
    """The trackers while a training runs.

    Args:
        names: Which.
        directory: Of the train stage; each tracker has a folder in it.
        run_name: For people.
        parameters: The recipe, nested as it is.
        past: All lines of metrics.jsonl; with a resumed training those up to its checkpoint.
    """
    with ExitStack() as stack:
        found: list[Tracker] = []
        for name in dict.fromkeys(names):
            tracker = _start(name, directory / name, run_name, dict(flattened(parameters)))
            stack.push(functools.partial(_close, tracker))
            found.append(tracker)
            for record in past:
                tracker.add(record)
        yield found


def _close(tracker: Tracker, kind: type[BaseException] | None, *_: object) -> None:
    tracker.close(finished=kind is None)


def _start(name: Name, directory: Path, run_name: str, parameters: Mapping[str, Any]) -> Tracker:
    return TensorBoard(directory, parameters) if name == "tensorboard" else MLflow(directory, run_name, parameters)


def _numbers(record: Record) -> Iterable[tuple[str, float]]:
    return ((name, float(value)) for name, value in record.items() if name != "step" and isinstance(value, int | float))


class TensorBoard:
    """Event files. They are written anew from metrics.jsonl when a training goes on: steps that were lost would stay in them.

    Args:
        directory: Of the event files.
        parameters: Shown as a text.
    """

    def __init__(self, directory: Path, parameters: Mapping[str, Any]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - only where a recipe asks for it

        files.remove(directory)
        directory.mkdir(parents=True)
        self._writer: Any = SummaryWriter(str(directory), flush_secs=10)
        table = "\n".join(f"| {name} | {value} |" for name, value in parameters.items())
        self._writer.add_text("recipe", f"| name | value |\n|---|---|\n{table}", 0)

    def add(self, record: Record) -> None:
        """See `Tracker`."""
        for name, value in _numbers(record):
            self._writer.add_scalar(name, value, record["step"])

    def close(self, *, finished: bool) -> None:  # noqa: ARG002 - event files know no end
        """See `Tracker`."""
        self._writer.close()


class MLflow:
    """One run in a SQLite store, gone on with by a resumed training; `mlflow ui --backend-store-uri sqlite:///…/mlflow.db` shows it.

    Args:
        directory: Of the store.
        run_name: Name of experiment and run.
        parameters: Logged once.
    """

    def __init__(self, directory: Path, run_name: str, parameters: Mapping[str, Any]) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would count this use at its maker's
        for chatty in ("mlflow", "alembic"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from mlflow import MlflowClient, entities  # noqa: PLC0415 - only where a recipe asks for it

            self._metric: Any = entities.Metric
            directory.mkdir(parents=True, exist_ok=True)
            self._client: Any = MlflowClient(tracking_uri=f"sqlite:///{(directory / 'mlflow.db').resolve()}")
            self._run = self._known_run(run_name)
            if self._run is None:
                self._run = self._new_run(directory, run_name)
                logged = [entities.Param(name, str(value)[:LONGEST_PARAMETER]) for name, value in parameters.items()]
                self._client.log_batch(self._run, params=logged)
            self._client.set_terminated(self._run, "RUNNING")
            self._done = self._last_step()
        self._waiting: list[Any] = []
        self._written = time.monotonic()

    def add(self, record: Record) -> None:
        """See `Tracker`. A step that the store has stays as it is: a resumed training repeats it to the bit."""
        step = int(record["step"])
        if step <= self._done:
            return
        self._done, now = step, int(time.time() * 1000)
        self._waiting += [self._metric(name, value, now, step) for name, value in _numbers(record)]
        if time.monotonic() - self._written > SECONDS_BETWEEN_WRITES or len(self._waiting) > 900:
            self._write()

    def close(self, *, finished: bool) -> None:
        """See `Tracker`."""
        self._write()
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")

    def _write(self) -> None:
        """At most 1,000 metrics go into one batch (MLflow's limit); a step has a dozen."""
        self._client.log_batch(self._run, metrics=self._waiting)
        self._waiting, self._written = [], time.monotonic()

    def _known_run(self, run_name: str) -> str | None:
        experiment = self._client.get_experiment_by_name(run_name)
        runs = self._client.search_runs([experiment.experiment_id], max_results=1) if experiment else []
        return str(runs[0].info.run_id) if runs else None

    def _new_run(self, directory: Path, run_name: str) -> str:
        known = self._client.get_experiment_by_name(run_name)  # of a start that was killed before it had a run
        place = (directory / "artifacts").resolve().as_uri()
        experiment = known.experiment_id if known else self._client.create_experiment(run_name, artifact_location=place)
        return str(self._client.create_run(experiment, run_name=run_name).info.run_id)

    def _last_step(self) -> int:
        """The last step that the store has; every record has a loss, and a batch is stored whole or not at all."""
        history = self._client.get_metric_history(self._run, "loss")
        return max((int(one.step) for one in history), default=0)
