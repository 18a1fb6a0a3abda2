"""The executor: bundles of pieces go out as jobs, reports come in, work that Spark gives up is given out again."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType

from pakar import files, progress
from pakar.errors import ResourceError, UserError
from pakar.prepare.executor import Piece, Report, Task
from pakar.prepare.spark.job import Job, pickled
from pakar.prepare.spark.worker import Order, own_code, report_in
from pakar.recipe import Spark
from pakar.spark.session import open_session, reason

JOB_PIECES = 64
"""Pieces in a job at most: what went wrong in it is heard of when it ends."""
MOST_JOBS = 32
"""Jobs under way at most; Spark fills its cores from all of them, the oldest first."""
MOST_FAILURES = 5
"""Jobs that Spark may give up before we give up too."""
SECONDS_TO_GATHER = 1.0
"""Pieces that are made one by one go out together with others of the same second."""
SECONDS_BETWEEN_LOOKS = 0.3
SECONDS_OF_SILENCE = 120.0
"""After so long without a finished piece the user is told where to look."""

HOPELESS = {
    "PYTHON_VERSION_MISMATCH": "the workers run another version of Python than this machine",
    "Cannot run program": "the workers do not have the Python that Spark was told to use",
    "PACKAGE_NOT_INSTALLED": "the Python of the workers lacks a package that PySpark needs",
    "No module named 'pyarrow'": "the Python of the workers lacks PyArrow",
    "No module named 'pyspark'": "the Python of the workers lacks PySpark",
    "SparkContext was shut down": "the connection to Spark was lost",
    "stopped SparkContext": "the connection to Spark was lost",
    "Connection refused": "the connection to Spark was lost",
    "Answer from Java side is empty": "the connection to Spark was lost",
    "StatusCode.UNAVAILABLE": "the connection to Spark was lost",
    "INVALID_HANDLE.SESSION": "the connection to Spark was lost",
}
"""What Spark says → what it means; trying again would not help."""


class SparkExecutor:
    """Runs tasks on Spark, in a session of its own that ends with the block, or in the one that is already there.

    Args:
        section: Master and settings.
    """

    def __init__(self, section: Spark) -> None:
        self._section = section
        self._stack = ExitStack()
        self._tag = f"pakar-{uuid.uuid4().hex[:8]}"
        self._failures = 0

    def __enter__(self) -> SparkExecutor:
        with ExitStack() as stack:
            self._session = open_session(self._section, stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if error is not None:
                with suppress(Exception):  # Spark may be what is gone
                    self._session.interruptTag(self._tag)

    def map(self, task: Task, pieces: Iterable[Piece]) -> Iterator[Report]:
        """See `Executor.map`."""
        rest = iter(pieces)
        first = next(rest, None)
        if first is None:
            return
        with _token(first.report.parent.absolute()) as token:
            order = pickled(Order(own_code(), token, task))
            yield from self._map(order, _bundles(itertools.chain([first], rest)))

    def _map(self, order: bytes, bundles: Iterator[list[Piece]]) -> Iterator[Report]:
        jobs: list[Job] = []
        heard = time.monotonic()
        while True:
            bundle = next(bundles, None) if len(jobs) < MOST_JOBS else None
            if bundle is not None:
                jobs.append(Job(self._session, self._tag, order, bundle))
            elif not jobs:
                return
            else:
                wait([job.told for job in jobs], SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
            ended = [job for job in jobs if job.told.done()]
            for report in itertools.chain.from_iterable([*(job.news() for job in jobs), *map(self._last_of, ended)]):
                heard = time.monotonic()
                yield report
            jobs = [job for job in jobs if job not in ended]
            bundles = itertools.chain([list(job.left.values()) for job in ended if job.left], bundles)
            heard = self._mind_the_silence(heard)

    def _last_of(self, job: Job) -> Iterator[Report]:
        """What only the end of a job tells; nothing if Spark gave it up: then the pieces that are left are given out again."""
        try:
            told = job.told.result()
        except Exception as error:  # whatever Spark may raise
            self._count_failure(str(error))
            return
        for report in map(report_in, told):
            if job.left.pop(report["number"], None) is not None:
                yield report

    def _count_failure(self, text: str) -> None:
        """Say it, or give up.

        Raises:
            UserError: trying again would not help, or has not helped.
        """
        why = reason(text)
        for words, meaning in HOPELESS.items():
            if words in text:
                raise UserError(f"{meaning}: {why}", next_step="see docs/spark.md; finished work is kept.")
        self._failures += 1
        if self._failures > MOST_FAILURES:
            raise ResourceError(f"Spark gave up work {self._failures} times, most likely because memory ran out; the last time: {why}",
                                next_step="give workers more memory or fewer cores with prepare.executor.settings; finished work is kept.")  # fmt: skip
        progress.warn(f"Spark gave up work, which is done again: {why}")

    def _mind_the_silence(self, heard: float) -> float:
        if time.monotonic() - heard < SECONDS_OF_SILENCE:
            return heard
        progress.warn(
            f"nothing has come from {self._section.master} for {SECONDS_OF_SILENCE:g} s; "
            "Spark waits for ever for free cores and memory: does it have them?"
        )
        return time.monotonic()


def _bundles(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    """Pieces in groups of JOB_PIECES, or as many as are made in SECONDS_TO_GATHER."""
    for first in pieces:
        bundle, started = [first], time.monotonic()
        while len(bundle) < JOB_PIECES and time.monotonic() - started < SECONDS_TO_GATHER:
            piece = next(pieces, None)
            if piece is None:
                break
            bundle.append(piece)
        yield bundle


@contextmanager
def _token(directory: Path) -> Iterator[Path]:
    """A file by which workers see that they share the run directory, and that somebody waits for them.

    Its name is that of temporary files: when the driver is killed, the next one sweeps it away.
    """
    path = directory / f".{uuid.uuid4().hex}.tmp"
    files.write_text(path, "")
    try:
        yield path
    finally:
        files.remove(path)
