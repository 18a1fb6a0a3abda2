"""The training loop: yields one record per optimizer step. Knows nothing of recipes' files or run directories.

The loss of a step is the mean over all its supervised tokens, however the step is cut into forward passes, so results do
not depend on accumulation. Everything random is seeded, and every batch is addressed by its step number.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypedDict

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from pakar import recipe
from pakar.errors import UserError
from pakar.shards import TokenShards
from pakar.train.adapter import trainable_weights
from pakar.train.batches import IGNORED, BatchPlan, collate, micro_batches, token_losses
from pakar.train.checkpoint import TrainState


class StepRecord(TypedDict, total=False):
    """One line of metrics.jsonl. `loss` in nats per supervised token; `tokens` is cumulative."""

    step: int
    epoch: float
    loss: float
    learning_rate: float
    tokens: int
    tokens_per_second: float
    seconds: float
    validation_loss: float


@dataclass(frozen=True)
class Schedule:
    """Learning rate of every step: rises over the warm-up, then falls as the recipe says."""

    peak: float
    total_steps: int
    warmup_steps: int
    shape: str

    def at(self, step: int) -> float:
        """Learning rate of step `step` (from 0)."""
        if step < self.warmup_steps:
            return self.peak * (step + 1) / self.warmup_steps
        if self.shape == "constant":
            return self.peak
        done = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        return self.peak * (0.5 * (1 + math.cos(math.pi * done)) if self.shape == "cosine" else 1 - done)


@dataclass
class Training:
    """Everything that a training needs, made ready by `start`.

    Attributes:
        model: As the optimizer sees it.
        plan: Which sequences go into which step.
        validation: Sequences to measure on; may be empty.
        state: Where it stands; grows while `steps` runs.
    """

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    accelerator: Accelerator
    section: recipe.Train
    train: TokenShards
    validation: TokenShards
    plan: BatchPlan
    state: TrainState

    @cached_property
    def total_steps(self) -> int:
        """Steps if nothing stops early."""
        return self.section.epochs * self.plan.steps_per_epoch

    @cached_property
    def validate_every(self) -> int:
        """Steps between validations: about twenty in all, fewer if they would cost more than a quarter of the training.

        A forward pass costs a third of a training step on as many tokens (Kaplan et al. 2020, section 2.1).
        """
        if self.section.validate_every is not None or not len(self.validation):
            return self.section.validate_every or self.total_steps
        trained = self.section.epochs * int(self.plan.lengths.sum())
        affordable = 0.25 * 3 * trained / int(self.validation.lengths().sum())
        return max(1, round(self.total_steps / max(1, min(20, int(affordable)))))

    @cached_property
    def schedule(self) -> Schedule:
        """The learning rate's course."""
        warmup = round(self.section.warmup * self.total_steps)
        return Schedule(self.section.learning_rate, self.total_steps, warmup, self.section.schedule)

    @property
    def finished(self) -> bool:
        """Nothing is left to do."""
        return self.state.stopped or self.state.step >= self.total_steps

    def scaler_state(self) -> dict[str, Any]:
        """Numbers of the float16 loss scaler; empty with other formats."""
        scaler = self.accelerator.scaler
        return dict(scaler.state_dict()) if scaler is not None else {}


def precision(wanted: recipe.Train) -> str:
    """Number format of matrix products, as Accelerate calls it; `auto` takes what the hardware computes in silicon.

    A CPU without bfloat16 instructions emulates them several times slower than float32; a GPU before Ampere has none.
    """
    names = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
    if wanted.precision != "auto":
        return names[wanted.precision]
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp16"
    capabilities = torch.cpu.get_capabilities()
    return "bf16" if capabilities.get("amx_bf16") or capabilities.get("amx_tile") else "no"


def start(
    model: torch.nn.Module, section: recipe.Train, train: TokenShards, validation: TokenShards, seed: int
) -> Training:
    """Make a training ready at its first step."""
    AcceleratorState._reset_state(
        reset_partial_state=True
    )  # a second training in one process may use another precision
    accelerator = Accelerator(mixed_precision=precision(section))
    optimizer = optimizer_for(model, section)
    model, optimizer = accelerator.prepare(model, optimizer)
    plan = BatchPlan(train.lengths(), section.batch_size, seed)
    return Training(model, optimizer, accelerator, section, train, validation, plan, TrainState())


def optimizer_for(model: torch.nn.Module, section: recipe.Train) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) with weight decay on matrices only; groups carry their weights' names."""
    weights = trainable_weights(model)
    matrices = {name: weight for name, weight in weights.items() if weight.ndim >= 2}
    vectors = {name: weight for name, weight in weights.items() if weight.ndim < 2}
    groups = [
        {"params": list(part.values()), "names": list(part), "weight_decay": decay}
        for part, decay in ((matrices, section.weight_decay), (vectors, 0.0))
        if part
    ]
    return torch.optim.AdamW(groups, lr=section.learning_rate, betas=(0.9, 0.999), eps=1e-8)


def steps(training: Training, save: Callable[[Training], None]) -> Iterator[StepRecord]:
    """Train until the epochs are over or early stopping ends it; calls `save` when a checkpoint is due.

    A record is yielded before its checkpoint is saved, so that the metrics file is never behind a checkpoint.
    """
    state = training.state
    if state.step == 0 and state.first_loss is None:
        _measure_before(training)
        save(training)
    while not training.finished:
        record = _step(training)
        improved = False
        if not len(training.validation):
            state.best_step = state.step
        elif state.step % training.validate_every == 0 or state.step == training.total_steps:
            record["validation_loss"] = validation_loss(training)
            improved = _judge(state, record["validation_loss"], training.section.patience)
        yield record
        if improved or _checkpoint_due(training):
            save(training)


def _checkpoint_due(training: Training) -> bool:
    return training.finished or training.state.step % training.section.checkpoint_every == 0


def validation_loss(training: Training) -> float:
    """Mean negative log likelihood per supervised token over the validation sequences."""
    total, count = 0.0, 0
    training.model.eval()
    everything = np.arange(len(training.validation))
    for members in micro_batches(everything, training.validation.lengths(), training.section.micro_batch_tokens):
        batch = collate(training.validation, members).to(training.accelerator.device)
        with torch.no_grad():
            logits = training.model(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False
            ).logits
        loss, tokens = token_losses(logits, batch.targets)
        total, count = total + loss.item(), count + tokens
    training.model.train()
    return total / count


def _measure_before(training: Training) -> None:
    """The validation loss of the untouched model: where the curve begins, and what training must beat."""
    if len(training.validation):
        loss = validation_loss(training)
        training.state.first_loss = training.state.best_loss = training.state.last_loss = loss


def _step(training: Training) -> StepRecord:
    state, plan = training.state, training.plan
    started = time.monotonic()
    epoch, position = divmod(state.step, plan.steps_per_epoch)
    members = plan.epoch(epoch)[position]
    batches = [
        collate(training.train, part)
        for part in micro_batches(members, plan.lengths, training.section.micro_batch_tokens)
    ]
    supervised = sum(int((batch.targets != IGNORED).sum()) for batch in batches)
    rate = training.schedule.at(state.step)
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    training.model.train()
    total = 0.0
    for batch in (batch.to(training.accelerator.device) for batch in batches):
        logits = training.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False).logits
        loss, _ = token_losses(logits, batch.targets)
        training.accelerator.backward(loss / supervised)
        total += loss.item()
    if not math.isfinite(total):
        raise UserError(f"the loss of step {state.step + 1} is {total}: the training has diverged",
                        next_step="lower train.learning_rate, for example to a third of what it is.")  # fmt: skip
    training.accelerator.clip_grad_norm_(training.model.parameters(), training.section.max_gradient_norm)
    training.optimizer.step()
    training.optimizer.zero_grad()
    state.step += 1
    state.tokens += supervised
    seconds = time.monotonic() - started
    return {
        "step": state.step, "epoch": round(state.step / plan.steps_per_epoch, 4), "loss": total / supervised, "learning_rate": rate,
        "tokens": state.tokens, "tokens_per_second": round(supervised / seconds, 1), "seconds": round(seconds, 4),
    }  # fmt: skip


def _judge(state: TrainState, loss: float, patience: int) -> bool:
    """Note a validation loss; True if it is the best so far. Decides on early stopping."""
    state.last_loss = loss
    if state.best_loss is None or loss < state.best_loss:
        state.best_loss, state.best_step, state.bad_measurements = loss, state.step, 0
        return True
    state.bad_measurements += 1
    state.stopped = 0 < patience <= state.bad_measurements
    return False
