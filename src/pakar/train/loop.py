"""The training loop: yields one record per optimizer step. Knows nothing of recipes' files or run directories.

The loss of a step is the mean over all its supervised tokens, however the step is laid out into rows and passes and dealt
over processes, so results do not depend on packing or accumulation. Everything random is seeded, and every batch is addressed by its step number.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import TypedDict

import numpy as np
import numpy.typing as npt
import torch

from pakar.errors import UserError
from pakar.train import memory, packing
from pakar.train.batches import collate, idle_batch
from pakar.train.checkpoint import TrainState
from pakar.train.launch import sharding
from pakar.train.packing import Pass
from pakar.train.settle import settle
from pakar.train.training import Split, Training


class StepRecord(TypedDict, total=False):
    """One line of metrics.jsonl.

    Attributes:
        step: Optimizer steps done.
        epoch: Passes over the training sequences done.
        loss: Nats per supervised token of the step, before its update.
        token_accuracy: Share of the step's supervised tokens that were the likeliest ones.
        learning_rate: Of this step.
        gradient_norm: Before clipping; none where float16 overflowed and the step was left out.
        tokens: Supervised tokens trained on so far.
        tokens_per_second: All tokens of the step, supervised or not, padding not counted.
        memory_bytes: Most memory used so far: of the allocator on a GPU, of the process on a CPU.
        seconds: Of this step.
        validation_loss: Nats per supervised token of the validation split.
        validation_token_accuracy: Share of its supervised tokens that were the likeliest ones.
    """

    step: int
    epoch: float
    loss: float
    token_accuracy: float
    learning_rate: float
    gradient_norm: float | None
    tokens: int
    tokens_per_second: float
    memory_bytes: int
    seconds: float
    validation_loss: float
    validation_token_accuracy: float


def steps(training: Training, save: Callable[[Training], None]) -> Iterator[StepRecord]:
    """Train until the epochs are over or early stopping ends it; calls `save` when a checkpoint is due.

    A record is yielded before its checkpoint is saved, so that the metrics file is never behind a checkpoint.
    """
    state = training.state
    training.settled = settle(training)
    if state.step == 0 and state.first_loss is None:
        _measure_before(training)
        save(training)
    while not training.finished:
        record = _step(training)
        improved = False
        if not len(training.validation):
            state.best_step = state.step
        elif state.step % training.validate_every == 0 or state.step == training.total_steps:
            record["validation_loss"], record["validation_token_accuracy"] = validate(training)
            _check_finite(training, "validation loss", record["validation_loss"])
            improved = _judge(state, record["validation_loss"], training.section.validation.patience)
        yield record
        if improved or _checkpoint_due(training):
            save(training)


def _checkpoint_due(training: Training) -> bool:
    return training.finished or training.state.step % training.section.checkpoint_every == 0


def validate(training: Training) -> tuple[float, float]:
    """Over the validation sequences: mean negative log likelihood per supervised token, and the share of tokens hit."""
    split = training.measured
    training.forward.eval()
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):  # not worth compiling a second time
        loss, hits = _sums(training, split, np.arange(len(split.lengths)))
    training.forward.train()
    count = int(split.supervised.sum())
    return loss / count, hits / count


def _measure_before(training: Training) -> None:
    """The validation loss of the untouched model: where the curve begins, and what training must beat."""
    if len(training.validation):
        loss, _ = validate(training)
        _check_finite(training, "validation loss", loss)
        training.state.first_loss = training.state.best_loss = training.state.last_loss = loss


def _step(training: Training) -> StepRecord:
    state, plan = training.state, training.plan
    started = time.monotonic()
    epoch, position = divmod(state.step, plan.steps_per_epoch)
    members = plan.epoch(epoch)[position]
    supervised = int(training.learnt.supervised[members].sum())
    rate = training.schedule.at(state.step)
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    training.forward.train()
    total, hits = _sums(training, training.learnt, members, factor=1 / supervised)
    _check_finite(training, "loss", total)
    training.team.add_gradients(training.model.parameters())
    norm = _number(
        training.accelerator.clip_grad_norm_(training.model.parameters(), training.section.max_gradient_norm)
    )
    if training.accelerator.scaler is None:  # which leaves out steps that overflow
        _check_finite(training, "gradient", norm)
    training.optimizer.step()
    training.optimizer.zero_grad()
    state.step += 1
    state.tokens += supervised
    seconds = time.monotonic() - started
    record: StepRecord = {
        "step": state.step, "epoch": round(state.step / plan.steps_per_epoch, 4), "loss": total / supervised,
        "token_accuracy": hits / supervised, "learning_rate": rate, "gradient_norm": norm if math.isfinite(norm) else None,
        "tokens": state.tokens,
        "tokens_per_second": round(float(plan.lengths[members].sum()) / seconds, 1),
        "memory_bytes": memory.peak_bytes(training.accelerator.device), "seconds": round(seconds, 4),
    }  # fmt: skip
    return record


def _number(norm: torch.Tensor | None) -> float:
    """The gradient's norm; no number where float16 overflowed, so that the step is left out and the loss scale lowered."""
    return float(norm) if norm is not None else math.nan


def _check_finite(training: Training, what: str, value: float) -> None:
    """Refuse to go on with numbers that are none, before they get into weights, checkpoints or metrics.

    Raises:
        UserError: the training has diverged, or the base model gives such numbers by itself.
    """
    if math.isfinite(value):
        return
    state, lower = training.state, f"{training.section.learning_rate / 3:.1g}"
    if state.step == 0 and what == "validation loss":
        raise UserError(f"the validation loss of the untrained model is {value}: its weights hold, or lead to, what is no number",
                        next_step="take another base model, or --set train.compute.precision=float32.")  # fmt: skip
    best = (
        f"; the best state so far, of step {state.best_step}, is kept in its checkpoint"
        if state.best_loss is not None and state.best_step
        else ""
    )
    raise UserError(f"the {what} of step {state.step if what == 'validation loss' else state.step + 1} is {value}: the training has diverged{best}",
                    next_step=f"a lower rate, --set train.learning_rate={lower}, begins again: with --restart in place of this training, "
                    "or with --set name=… beside it.")  # fmt: skip


def _sums(
    training: Training, split: Split, members: npt.NDArray[np.int64], *, factor: float | None = None
) -> tuple[float, float]:
    """Loss in nats and hits, summed over sequences of a split and over processes.

    With a factor the passes run backwards too, on the loss times the factor.
    """
    device = training.accelerator.device
    loss, hits = torch.zeros((), device=device), torch.zeros((), dtype=torch.long, device=device)
    for one in _passes(training, split, members):
        sums = training.forward((collate(split.shards, one) if one else idle_batch()).to(device))
        if factor is not None:
            training.accelerator.backward(sums.loss * (factor if one else 0.0))
        if one:
            loss, hits = loss + sums.loss.detach(), hits + sums.hits
    total, right = training.team.add(*torch.stack([loss.double(), hits.double()]).tolist())
    return total, right


def _passes(training: Training, split: Split, members: npt.NDArray[np.int64]) -> list[Pass | None]:
    """This process's passes over its share of some sequences.

    Where weights are sharded, all processes must run as many passes, so None stands for an idle one.
    """
    settled, team = training.settled, training.team
    shares = [
        packing.passes(share, split.lengths, most_tokens=settled.micro_batch_tokens, packed=settled.packed)
        for share in packing.deal(members, split.lengths, team.size)
    ]
    together = max(map(len, shares)) if sharding.is_sharded(training.objective) else 0
    mine = shares[team.rank]
    return [*mine, *[None] * (together - len(mine))]


def _judge(state: TrainState, loss: float, patience: int) -> bool:
    """Note a validation loss; True if it is the best so far. Decides on early stopping."""
    state.last_loss = loss
    if state.best_loss is None or loss < state.best_loss:
        state.best_loss, state.best_step, state.bad_measurements = loss, state.step, 0
        return True
    state.bad_measurements += 1
    state.stopped = 0 < patience <= state.bad_measurements
    return False
