"""Everything that a training needs, made ready; what `loop.steps` runs on."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from pakar import recipe
from pakar.errors import DataError
from pakar.shards import TokenShards
from pakar.train import haste
from pakar.train.checkpoint import TrainState
from pakar.train.launch import sharding
from pakar.train.launch.team import ALONE, Team
from pakar.train.losses import Objective
from pakar.train.optimizer import optimizer_for
from pakar.train.order import Plan, plan_for
from pakar.train.precision import precision
from pakar.train.schedule import Schedule, scheduled

MEASUREMENTS = 20
"""Times that the validation loss is measured, about."""
MEASURING_SHARE = 0.25
"""Most that these measurements cost, as a share of the training."""


@dataclass(frozen=True)
class Settled:
    """How the passes of a training are computed; see `settle.settle`.

    Attributes:
        packed: Several examples share a row.
        micro_batch_tokens: Most positions of a pass.
        gradient_checkpointing: Activations are computed again in the backward pass.
        compiled: The layers run as code that torch.compile made.
    """

    packed: bool = False
    micro_batch_tokens: int = 0
    gradient_checkpointing: bool = False
    compiled: bool = False


class Split(NamedTuple):
    """Sequences, with the tokens and the supervised tokens of each."""

    shards: TokenShards
    lengths: npt.NDArray[np.int64]
    supervised: npt.NDArray[np.int64]


@dataclass
class Training:
    """Everything that a training needs, made ready by `start`.

    Attributes:
        model: The model whose weights are trained and saved.
        objective: The model with its loss.
        forward: The objective as it is called: with autocast.
        plan: Which sequences go into which step.
        validation: Sequences to measure on; may be empty.
        state: Where it stands; grows while `steps` runs.
        team: The processes that share the training.
        settled: How passes are computed; `steps` settles it before the first one.
    """

    model: torch.nn.Module
    objective: Objective
    forward: torch.nn.Module
    optimizer: torch.optim.Optimizer
    accelerator: Accelerator
    section: recipe.Train
    train: TokenShards
    validation: TokenShards
    plan: Plan
    state: TrainState
    team: Team = ALONE
    settled: Settled = field(default_factory=Settled)

    @cached_property
    def learnt(self) -> Split:
        """The training split."""
        return Split(self.train, self.plan.lengths, self.train.supervised())

    @cached_property
    def measured(self) -> Split:
        """The validation split."""
        return Split(self.validation, self.validation.lengths(), self.validation.supervised())

    @cached_property
    def total_steps(self) -> int:
        """Steps if nothing stops early."""
        return self.section.epochs * self.plan.steps_per_epoch

    @cached_property
    def validate_every(self) -> int:
        """Steps between validations: about MEASUREMENTS in all, fewer if they would cost more than their share of the training.

        A forward pass costs a third of a training step on as many tokens (Kaplan et al. 2020, section 2.1).
        """
        if self.section.validation.every is not None or not len(self.validation):
            return self.section.validation.every or self.total_steps
        trained = self.section.epochs * int(self.plan.lengths.sum())
        affordable = MEASURING_SHARE * 3 * trained / int(self.measured.lengths.sum())
        return max(1, round(self.total_steps / max(1, min(MEASUREMENTS, int(affordable)))))

    @cached_property
    def schedule(self) -> Schedule:
        """The learning rate's course."""
        return scheduled(self.section, self.total_steps)

    @property
    def finished(self) -> bool:
        """Nothing is left to do."""
        return self.state.stopped or self.state.step >= self.total_steps

    def scaler_state(self) -> dict[str, Any]:
        """Numbers of the float16 loss scaler; empty with other formats."""
        scaler = self.accelerator.scaler
        return dict(scaler.state_dict()) if scaler is not None else {}


def start(
    model: torch.nn.Module,
    section: recipe.Train,
    train: TokenShards,
    validation: TokenShards,
    *,
    seed: int,
    team: Team = ALONE,
) -> Training:
    """Make a training ready at its first step, alone or as one of a team.

    Raises:
        DataError: there is nothing to train on, or sequences without a supervised token, named by their examples' ids.
    """
    check_supervised(train, "training")
    check_supervised(validation, "validation")
    AcceleratorState._reset_state(
        reset_partial_state=True
    )  # a second training in one process may use another precision
    # Else it would take Apple's GPU, where neither the base model nor the recipe's precision was meant to be.
    accelerator = Accelerator(mixed_precision=precision(section), cpu=not torch.cuda.is_available())
    haste.hasten(model, accelerator.device.type)
    objective = Objective(model, section.embedding_noise)
    if sharding.wanted(section) and team.size > 1:
        sharding.shard(objective, team)
    forward = accelerator.prepare_model(objective, evaluation_mode=True)  # only autocast: the team adds gradients up
    optimizer = accelerator.prepare_optimizer(optimizer_for(model, section))
    plan = plan_for(section, train.lengths(), train.supervised(), seed)
    return Training(
        model, objective, forward, optimizer, accelerator, section, train, validation, plan, TrainState(), team
    )


def check_supervised(split: TokenShards, name: str) -> None:
    """Refuse sequences that carry no loss: nothing can be learnt from them, and their loss would be zero or no number."""
    empty = np.flatnonzero(split.supervised() == 0)
    if len(empty):
        named = ", ".join(split[int(number)].example for number in empty[:5])
        raise DataError(f"{len(empty)} of {len(split)} sequences of the {name} split have no supervised token: examples {named}"
                        f"{' …' if len(empty) > 5 else ''}",
                        next_step="look at them with `pakar plan`; give them an answer, or leave them out.")  # fmt: skip
