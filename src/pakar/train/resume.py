"""Going on with an interrupted training: which checkpoint, whether it may be gone on with, and putting it back.

The checkpoint itself tells what it was made from, so one that was copied in by hand is judged like any other.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from pakar import files, progress
from pakar.errors import RecipeError, UserError
from pakar.train import checkpoint, origin, random_state
from pakar.train.checkpoint import Position, Snapshot, TrainState
from pakar.train.optimizer import page
from pakar.train.origin import Origin
from pakar.train.training import Training

RESTART = "throw the unfinished training away deliberately, with --restart"


class Resumable(NamedTuple):
    """A checkpoint that may be gone on with.

    Attributes:
        path: Its directory.
        state: Where training stood.
        position: What it belongs to.
        rounding: What changed since and only rounds differently or drops other numbers, in words.
    """

    path: Path
    state: TrainState
    position: Position
    rounding: list[str]


def check(checkpoints_dir: Path, now: Origin) -> None:
    """Refuse a change before anything long begins; reads only what checkpoints say about themselves.

    Raises:
        RecipeError: the newest one was made from something else, so that going on would be neither the old training nor the new one.
    """
    for path in sorted(checkpoints_dir.glob("step-*"), reverse=True):
        try:
            state, position = checkpoint.read_state(path), checkpoint.read_position(path)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if decisive := origin.changes(position.origin, now).decisive:
            raise _refusal(path, state, position, decisive)
        return


def find(checkpoints_dir: Path, now: Origin) -> Resumable | None:
    """The checkpoint to go on from; None if nothing was saved yet. Harmed ones that are newer are removed, with a warning.

    Args:
        checkpoints_dir: Where they are.
        now: What the training would be made from now.

    Raises:
        RecipeError: it was made from something else.
        UserError: something was saved, and none of it is whole.
    """
    newest, harmed = checkpoint.look(checkpoints_dir)
    if newest is None:
        if harmed:
            raise _nothing_whole(harmed)
        return None
    state, position = checkpoint.read_state(newest), checkpoint.read_position(newest)
    changed = origin.changes(position.origin, now)
    if changed.decisive:
        raise _refusal(newest, state, position, changed.decisive)
    for path, defect in harmed.items():
        progress.warn(f"{path} cannot be gone on from ({defect}); it is removed")
        files.remove(path)
    return Resumable(newest, state, position, changed.rounding)


def restore(found: Resumable, training: Training, process: int = 0) -> None:
    """Put weights, optimizer, loss scaler and random generators back as they were.

    Args:
        found: What `find` found.
        training: Ready at its first step, made from the same.
        process: Rank of this process; each has generators of its own.

    Raises:
        RecipeError: this version of Pakar takes the examples in another order.
    """
    snapshot = checkpoint.read(found.path)
    if origin.order_fingerprint(training.plan) != snapshot.position.order:
        raise _refusal(found.path, found.state, found.position, ["the order in which examples are taken"])
    accelerator = training.accelerator
    checkpoint.restore(snapshot, accelerator.unwrap_model(training.model), training.optimizer)
    page(training.optimizer)
    if accelerator.scaler is not None and snapshot.scaler:
        accelerator.scaler.load_state_dict(dict(snapshot.scaler))
    _restore_random(snapshot, process, training.team.size)
    training.state = snapshot.state
    if found.rounding:
        training.state.settled = {}  # what was settled for another machine or other wishes is settled again
        training.state.changes.append({"step": found.state.step, "changed": found.rounding})
        progress.warn(
            f"the training goes on, though {', '.join(found.rounding)} changed since it began: "
            "its weights will equal those of an unbroken training but for rounding and other dropout masks, not to the bit"
        )
    progress.note(
        f"train: goes on from step {training.state.step} of {training.total_steps}, saved {found.position.saved}"
    )


def cut_metrics(path: Path, steps: int) -> bool:
    """Leave the records of the first `steps` steps: what came after the checkpoint is trained again. True if there was any.

    Records are on the disk before the checkpoint that they belong to, so only later lines can be torn by a crash.
    """
    kept: list[dict[str, Any]] = []
    cut = False
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
        except ValueError:
            break
        if record["step"] > steps:
            cut = True
            break
        kept.append(record)
    if len(kept) < steps:
        progress.warn(f"{path} holds the records of {len(kept)} of {steps} steps; the weights do not depend on it")
    files.write_json_lines(path, kept)
    return cut


def _restore_random(snapshot: Snapshot, process: int, num_processes: int) -> None:
    """Generators belong to a process; with another number of processes nothing can be exact, and all keep their fresh ones."""
    if len(snapshot.random) == num_processes:
        random_state.restore(snapshot.random[process])


def _refusal(path: Path, state: TrainState, position: Position, changed: list[str]) -> RecipeError:
    return RecipeError(
        f"{path.parents[1]} holds an unfinished training (step {state.step} of {position.total_steps}, saved {position.saved}) "
        f"that cannot be gone on with, because this changed since it began: {'; '.join(changed)}",
        next_step=f"undo the change; or leave it there and give this training another name with --set name=…; or {RESTART}.",
    )


def _nothing_whole(harmed: dict[Path, str]) -> UserError:
    listed = "; ".join(f"{path.name}: {defect}" for path, defect in harmed.items())
    where = next(iter(harmed)).parent
    return UserError(f"{where} holds checkpoints of an unfinished training, and none of them is whole ({listed})",
                     next_step=f"put whole copies of them back, if you have any; or {RESTART}.")  # fmt: skip
