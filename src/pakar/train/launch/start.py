"""Start a training where the recipe says: in this process, in several of this machine, or on Spark.

Where torchrun (or `accelerate launch`, or a cluster's own starter) has started several processes of the command, nothing is
started again: number 0 carries the command out, and the others wait until it trains and train with it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist

from pakar import progress
from pakar.errors import UserError
from pakar.run import Run, find
from pakar.train.launch import failure, processes, sharding, team
from pakar.train.launch.team import ALONE, Team

Fit = Callable[[Run, Team], None]
"""Train a run as one of a team, and write the model if this process leads it."""

RUN_KEY = "pakar/run"
"""In the store of a team: directory of the run to train; empty when there is nothing to do."""
LONGEST_PREPARATION = timedelta(days=30)


def train(run: Run, fit: Fit) -> None:
    """Train the run; returns when the model is written.

    Raises:
        UserError: what the first process that failed had to say.
    """
    launch = run.recipe.train.launch
    sharding.check(run.recipe.train)
    run.training_failure_file.unlink(missing_ok=True)
    if team.expected().size > 1:
        team.store().set(RUN_KEY, str(run.directory.resolve()))
        _together(run, fit)
    elif launch.kind == "spark":
        from pakar.train.launch import spark  # noqa: PLC0415 - the door to PySpark

        spark.train(run, launch)
    elif launch.kind == "processes" and (size := processes.count(launch.count)) > 1:
        progress.note(f"train: in {size} processes")
        processes.train(run, size)
    else:
        fit(run, ALONE)


def work(directory: Path, fit: Fit) -> int:
    """Be one process of a team that Pakar started; its words lie in the run directory, and this is the exit code."""
    run = find(str(directory), directory.parent)
    rank = team.expected().rank
    joined = ALONE
    try:
        joined = team.join()
        fit(run, joined)
    except Exception as error:  # whatever it is, somebody else tells it
        failure.leave(run.training_failure_file, rank, error)
        meant = failure.in_words(error)
        return meant.exit_code if isinstance(meant, UserError) else 1
    finally:
        joined.leave()
    return 0


def among_several(command: Callable[[], int | None], fit: Fit) -> int | None:
    """Carry out the command as number 0 of several processes, or follow number 0; returns the exit code."""
    if team.expected().leads:
        try:
            return command()
        finally:
            team.store().set(RUN_KEY, "")
    progress.quiet()
    directory = _called()
    if directory:
        _together(find(directory, Path(directory).parent), fit)
    return 0


def _called() -> str:
    try:
        team.store().wait([RUN_KEY], LONGEST_PREPARATION)
        return str(team.store().get(RUN_KEY).decode())
    except dist.DistNetworkError:  # number 0 kept the store, and has ended
        return ""


def _together(run: Run, fit: Fit) -> None:
    """Train as one of several that somebody else started; the first that fails tells it, the others end without a word."""
    rank = team.expected().rank
    joined = ALONE
    try:
        joined = team.join()
        fit(run, joined)
    except Exception as error:
        if failure.leave(run.training_failure_file, rank, error):
            raise failure.in_words(error) from error
        raise SystemExit(1) from None
    finally:
        joined.leave()
