"""Time and disk that a training takes: estimates, each with its formula."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from pakar.recipe import Method, Optimizer
from pakar.train.optimizer import moment_bytes
from pakar.train.plan.devices import Device
from pakar.train.plan.spread import Spread
from pakar.train.plan.weights import Weights
from pakar.train.plan.workload import Workload
from pakar.train.room import KEPT
from pakar.train.training import MEASUREMENTS, MEASURING_SHARE

UTILISATION = {"measured": 0.45, "named": 0.35}
"""Share of a device's rate for plain products that a training reaches."""


class Time(NamedTuple):
    """How long it takes, about.

    Attributes:
        seconds: None if the device's rate, or the number of rows, is not known.
        flops: Sums and products in all; None if the number of rows is not known.
        formula: In words.
    """

    seconds: float | None
    flops: float | None
    formula: str


class Disk(NamedTuple):
    """Bytes that training writes.

    Attributes:
        checkpoints: Most at a time.
        model: The finished one.
        download: Weights that are not here yet.
        free: On the disk of the runs.
    """

    checkpoints: int
    model: int
    download: int
    free: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.checkpoints + self.model + self.download


def time_needed(
    weights: Weights, work: Workload, *, method: Method, checkpointing: bool, device: Device, spread: Spread
) -> Time:
    """Sums and products over the device's rate.

    Kaplan et al. 2020, section 2.1: 2 N sums and products a token forward, twice that backward, where N counts the
    weights of matrix products. Frozen matrices need no gradient of their own: a third less. The output layer works only
    where a token is learnt. Attention over the row itself is left out: little, at these lengths. Several GPUs share it all;
    several processes on a CPU share that.
    """  # fmt: skip
    trained = weights.trainable if method.kind != "full" else weights.computed
    per_weight = 2 + 2 + (2 if checkpointing else 0)
    active = weights.computed - weights.output * (1 - work.learnt)
    each = per_weight * active + 2 * trained
    formula = f"{per_weight} × {active / 1e9:.3g} billion weights in products + 2 × {trained / 1e9:.3g} billion trained, each token"
    if work.tokens is None:
        return Time(None, None, formula)
    validation = MEASUREMENTS * 2 * active * work.validation_rows * work.row_tokens
    flops = each * work.tokens + min(validation, MEASURING_SHARE * each * work.tokens)
    if device.flops is None:
        return Time(None, flops, formula)
    share = UTILISATION["measured" if device.measured else "named"]
    devices = spread.processes if device.kind == "gpu" else 1
    return Time(flops / (share * device.flops * devices), flops, formula)


def disk_needed(weights: Weights, *, optimizer: Optimizer, present: bool, method: Method, runs_dir: Path) -> Disk:
    """Checkpoints hold trained weights and moments; the model holds what was trained."""
    moment = moment_bytes(optimizer.kind)
    base = weights.total if method.kind == "full" else weights.total - weights.trainable
    return Disk(
        checkpoints=KEPT * weights.trainable * (4 + 2 * moment),
        model=4 * weights.trainable,
        download=0 if present else 2 * base,
        free=shutil.disk_usage(_existing(runs_dir)).free,
    )


def _existing(path: Path) -> Path:
    """The nearest folder above that exists."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
