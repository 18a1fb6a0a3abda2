"""What does the work: an executor maps a task over the pieces of a step, on this machine or on Spark. The tasks are the same.

A task is a plain function of one piece. It writes its files into the run directory, each under a name that only its piece has,
and atomically, so that it may be run twice, by anyone, and killed at any instant. It leaves a report (JSON) as its last act;
a piece whose report is there is done and never given out again. So neither the executor nor the number of workers can
change the outcome, and a broken run goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pakar import files
from pakar.recipe import Executor as Section
from pakar.recipe import Local


class Piece(NamedTuple):
    """One piece of a step's work.

    Attributes:
        number: Its place among the pieces of the step, from 0.
        report: Where the task writes its report, as its last act.
        what: What else the task needs to know of it; plain values only, it travels between processes.
    """

    number: int
    report: Path
    what: tuple[Any, ...] = ()


Report = dict[str, Any]
"""What a task tells of a piece: `number` (the piece's), `rows`, and whatever the next step needs."""

Task = Callable[[Piece], Report]
"""A module-level function, or a `functools.partial` of one."""


def finish(piece: Piece, report: Report) -> Report:
    """A task's last act: its report, on disk and returned."""
    files.write_json(piece.report, report | {"number": piece.number})
    return report | {"number": piece.number}


def perform(task: Task, piece: Piece) -> Report:
    """Do a piece, unless somebody has: after a worker seemed to be lost its piece is given out again, and both may end it."""
    done = files.read_json_if_whole(piece.report)
    if done is not None:
        return done
    try:
        return task(piece)
    except Exception:
        # Whoever ends first removes what the other still reads.
        done = files.read_json_if_whole(piece.report)
        if done is None:
            raise
        return done


class Executor(Protocol):
    """Runs tasks."""

    def map(self, task: Task, pieces: Iterable[Piece]) -> Iterator[Report]:
        """The reports of all pieces, in the order in which they are done.

        Args:
            task: See `Task`.
            pieces: May be made while others are worked on.

        Raises:
            UserError: raised by a task, or the executor cannot go on (out of memory, no Java).
        """
        ...


def start(section: Section) -> AbstractContextManager[Executor]:
    """The executor that the recipe asks for; it stops when the block ends.

    Raises:
        UserError: what it needs is not installed.
    """
    # The doors of heavy libraries are opened only where they are asked for.
    if isinstance(section, Local):
        from pakar.prepare.local import LocalExecutor  # noqa: PLC0415

        return LocalExecutor(section.workers)
    from pakar.prepare.spark import SparkExecutor  # noqa: PLC0415

    return SparkExecutor(section)


def run_step(executor: Executor, task: Task, pieces: Iterable[Piece]) -> Iterator[Report]:
    """The reports of all pieces of a step, as they are done; what an earlier, broken run has left done is taken as it is.

    Args:
        executor: Does what is left to do.
        task: See `Task`.
        pieces: All of the step.
    """
    done: list[Report] = []

    def left() -> Iterator[Piece]:
        for piece in pieces:
            report = files.read_json_if_whole(piece.report)
            if report is None:
                yield piece
            else:
                done.append(report)

    yield from executor.map(task, left())
    yield from done
