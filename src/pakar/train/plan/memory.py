"""Peak memory of a training by component. Each function below is one line of the table, with its formula."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from pakar.recipe import Method, Muon, Optimizer
from pakar.recipe.train import Train
from pakar.train import allocator
from pakar.train.plan.counter import Moment
from pakar.train.plan.devices import GIB, Device
from pakar.train.plan.dry_run import BACKWARD, FORWARD, LOSS
from pakar.train.plan.weights import Weights

BLOCK, BLOCKS_TOGETHER = 64, 256
"""Weights that share a scale in 4 bits, and scales that share one when they are quantised too (Dettmers et al. 2023, section 3)."""
OPTIMIZER_BLOCK = 256
"""Moments that share a scale in 8 bits (Dettmers et al. 2022)."""
ACTIVATIONS = "activations"
MASTER = 4
"""Bytes of a weight that is trained, of its gradient, and of each of its two moments in 32 bits."""
LIBRARIES = 80 * 2**20
"""What torch's libraries take on a CPU when they begin to compute: code that is read in, modules that are imported."""
HOLES = 0.18
"""Freed memory between living pieces of glibc's heap, as a share of what comes and goes: see docs/planning.md."""


class Component(NamedTuple):
    """One line.

    Attributes:
        name: What the memory holds.
        bytes: How much, when all of it together needs most.
        formula: How that was reckoned, in words.
    """

    name: str
    bytes: int
    formula: str


class Memory(NamedTuple):
    """All lines.

    Attributes:
        components: In the order in which they come about.
        when: The part of a step that needs most.
    """

    components: tuple[Component, ...]
    when: str

    @property
    def total(self) -> int:
        """Bytes."""
        return sum(component.bytes for component in self.components)


def peak(
    weights: Weights, moments: Mapping[str, Moment], *, section: Train, precision: torch.dtype, device: Device
) -> Memory:
    """Peak memory.

    Args:
        weights: Of the model.
        moments: What the parts of a step need besides, see `dry_run`.
        section: Method and optimizer.
        precision: Number format of the products; frozen weights are kept in it.
        device: Its libraries and its allocator take memory too.
    """
    kept = moments[LOSS].activations
    forward = moments[FORWARD]
    forward = forward._replace(activations=kept, working=max(0.0, forward.total - forward.gradients - kept))
    step = Moment(0, MASTER * weights.trainable, 0)
    when, worst = max({**moments, FORWARD: forward, "optimizer step": step}.items(), key=lambda part: part[1].total)
    passing = [
        Component(
            "gradients",
            round(worst.gradients),
            f"{weights.trainable:,} trained weights × {MASTER} bytes, so far as they are there",
        ),
        Component(ACTIVATIONS, round(worst.activations), "kept for the backward pass; counted in a dry run"),
        Component(
            _WORKING.get(when, "temporary"), round(worst.working), f"on top, in the {when}; counted in a dry run"
        ),
    ]
    lasts = lasting(weights, section, precision)
    if device.kind == "gpu":
        return Memory((*lasts, *passing, _gpu_libraries(worst.total)), when)
    return Memory((*lasts, *passing, *_cpu_libraries(worst.total, precision)), when)


def lasting(weights: Weights, section: Train, precision: torch.dtype) -> list[Component]:
    """What stays from the first step to the last."""
    method = section.method
    parts = [_base(weights, method, precision), *_scales(weights, method), *_adapters(weights, method)]
    return [*parts, _moments(weights, section.optimizer)]


_WORKING = {LOSS: "logits", BACKWARD: "logits"}


def _base(weights: Weights, method: Method, precision: torch.dtype) -> Component:
    if method.kind == "full":
        return Component("base weights", MASTER * weights.total, f"{weights.total:,} × {MASTER} bytes (float32)")
    each = precision.itemsize
    plain = f"{weights.frozen:,} × {each} bytes ({_name(precision)})"
    quantised = f"{weights.quantised:,} × ½ byte (NF4) + " if weights.quantised else ""
    return Component("base weights", weights.quantised // 2 + weights.frozen * each, quantised + plain)


def _scales(weights: Weights, method: Method) -> list[Component]:
    if method.kind != "qlora":
        return []
    blocks = -(-weights.quantised // BLOCK)
    if not method.double_quantisation:
        return [Component("scales of the 4-bit blocks", 4 * blocks, f"{blocks:,} blocks of {BLOCK} × 4 bytes")]
    size = blocks + 4 * -(-blocks // BLOCKS_TOGETHER)
    return [
        Component(
            "scales of the 4-bit blocks",
            size,
            f"{blocks:,} blocks of {BLOCK} × 1 byte, and 4 bytes per {BLOCKS_TOGETHER} of them",
        )
    ]


def _adapters(weights: Weights, method: Method) -> list[Component]:
    if method.kind == "full":
        return []
    return [Component("adapters", MASTER * weights.trainable, f"{weights.trainable:,} × {MASTER} bytes (float32)")]


def _moments(weights: Weights, optimizer: Optimizer) -> Component:
    if isinstance(optimizer, Muon):
        inside = weights.computed - weights.output  # about: what lies between the embeddings
        numbers = 2 * weights.trainable - min(inside, weights.trainable)
        return Component("optimizer moments", MASTER * numbers, f"{numbers:,} × {MASTER} bytes (float32): one for each weight of the matrices, two for each other")  # fmt: skip
    if not optimizer.kind.endswith("8bit"):
        return Component(
            "optimizer moments", 2 * MASTER * weights.trainable, f"2 × {weights.trainable:,} × {MASTER} bytes (float32)"
        )
    blocked = weights.trainable - weights.small
    size = 2 * (blocked + 4 * blocked // OPTIMIZER_BLOCK + MASTER * weights.small)
    return Component(
        "optimizer moments",
        size,
        f"2 × {blocked:,} × 1 byte, and 4 bytes per {OPTIMIZER_BLOCK} of them; 2 × {weights.small:,} × {MASTER} bytes",
    )


def _gpu_libraries(passing: float) -> Component:
    return Component(
        "libraries and allocator",
        round(0.6 * GIB + 0.05 * passing),
        "0.6 GiB of the driver and its libraries, 5 % of what comes and goes",
    )


def _cpu_libraries(passing: float, precision: torch.dtype) -> list[Component]:
    known = allocator.DESCRIPTIONS * allocator.DESCRIPTION_BYTES if precision == torch.bfloat16 else 0
    named = f", {allocator.DESCRIPTIONS} matrix products × {allocator.DESCRIPTION_BYTES >> 10} KiB" if known else ""
    return [
        Component("libraries", LIBRARIES + known, f"{LIBRARIES >> 20} MiB of their code and modules{named}"),
        Component(
            "holes in the heap",
            round(HOLES * passing),
            f"{HOLES:.0%} of what comes and goes",
        ),
    ]


def _name(precision: torch.dtype) -> str:
    return str(precision).removeprefix("torch.")
