"""What the plan of a training says, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from pakar.train.plan.cost import Disk, Time
from pakar.train.plan.devices import Device
from pakar.train.plan.memory import Memory
from pakar.train.plan.weights import Weights
from pakar.train.plan.workload import Workload

TIGHT = {"gpu": 0.9, "cpu": 0.6}
"""Share of the memory from which on a plan is called tight: on a CPU a process keeps pieces that it has freed."""


class Setting(NamedTuple):
    """What `auto` comes to.

    Attributes:
        precision: Number format of the products.
        rows: Of the largest pass.
        width: Tokens in each of them.
        passes: Of a step, at most.
        checkpointing: Whether activations are computed again.
    """

    precision: str
    rows: int
    width: int
    passes: int
    checkpointing: bool


class Change(NamedTuple):
    """Something to change in the recipe, on top of the changes before it.

    Attributes:
        override: For `--set`.
        total: Bytes that it would take then.
        fits: Whether that is there.
    """

    override: str
    total: int
    fits: bool


@dataclass(frozen=True)
class TrainingPlan:
    """What a training would take.

    Attributes:
        base: As the recipe names it.
        origin: Where its architecture was found.
        method: full, lora or qlora.
        weights: Their numbers.
        setting: What `auto` comes to.
        device: Where it would run.
        memory: At its peak.
        work: Rows, steps, tokens.
        time: About.
        disk: At most.
        changes: What to change, in this order, if it does not fit.
        remarks: What else there is to know.
    """

    base: str
    origin: str
    method: str
    weights: Weights
    setting: Setting
    device: Device
    memory: Memory
    work: Workload
    time: Time
    disk: Disk
    changes: tuple[Change, ...]
    remarks: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether memory and disk suffice."""
        return self.memory.total <= self.device.memory and self.disk.total <= self.disk.free

    @property
    def tight(self) -> bool:
        """Whether it fits, but so closely that the plan may err."""
        return self.fits and self.memory.total > TIGHT[self.device.kind] * self.device.memory


def as_json(found: TrainingPlan) -> dict[str, Any]:
    """Plain values; bytes, seconds and numbers of weights."""
    return {
        "base": found.base,
        "origin": found.origin,
        "method": found.method,
        "parameters": {"trainable": found.weights.trainable, "total": found.weights.total, "quantised": found.weights.quantised},
        "setting": found.setting._asdict(),
        "device": found.device._asdict(),
        "memory": {
            "components": [component._asdict() for component in found.memory.components],
            "total": found.memory.total,
            "when": found.memory.when,
        },
        "steps": found.work.steps,
        "tokens": found.work.tokens,
        "lengths_measured": found.work.measured,
        "seconds": found.time.seconds,
        "flops": found.time.flops,
        "disk": {**found.disk._asdict(), "total": found.disk.total},
        "fits": found.fits,
        "tight": found.tight,
        "changes": [change._asdict() for change in found.changes],
        "remarks": list(found.remarks),
    }  # fmt: skip
