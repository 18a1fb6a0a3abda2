"""What becomes of memory when several processes share a training (`train.launch`)."""

from __future__ import annotations

from typing import NamedTuple

import torch

from pakar.recipe import Train
from pakar.train.launch import processes, sharding, team
from pakar.train.plan.devices import Device
from pakar.train.plan.memory import MASTER, Component, Memory
from pakar.train.plan.weights import Weights

_CUT_UP = {"base weights", "adapters", "optimizer moments", "gradients"}
"""What FSDP2 spreads; scales of 4-bit blocks, activations and what libraries take are in every process."""


class Spread(NamedTuple):
    """How a training is shared out.

    Attributes:
        processes: How many share it.
        sharded: Whether weights, gradients and moments are spread over them.
        together: Whether all of them use the memory that is planned for: a computer's, not each its own GPU's.
    """

    processes: int = 1
    sharded: bool = False
    together: bool = False


def spread(section: Train, device: Device) -> Spread:
    """As the recipe says; in a team that torchrun has started, as large as that is.

    Raises:
        UserError: fewer GPUs than processes.
    """
    size = team.expected().size
    if size == 1 and section.launch.kind == "spark":
        size = section.launch.count
    elif size == 1 and section.launch.kind == "processes":
        size = section.launch.count or processes.count(None)
    return Spread(size, sharding.wanted(section) and size > 1, device.kind == "cpu")


def shared_out(parts: list[Component], how: Spread) -> list[Component]:
    """What each of these parts takes on the device: a GPU has one process, a computer all of them."""
    return [_one(part, how) for part in parts]


def memory_of(found: Memory, whole: Component, how: Spread) -> Memory:
    """Peak memory on the device, if one process alone would take `found`; `whole` comes on top where weights are spread."""
    parts = [*found.components, whole] if how.sharded else [*found.components]
    return found._replace(components=tuple(shared_out(parts, how)))


def made_whole(weights: Weights, layers: int, section: Train, precision: torch.dtype) -> Component:
    """What a process puts together again while it computes: two blocks, and what lies outside of them; with gradients, if trained.

    FSDP2 fetches a block while the one before it computes, and frees what belongs to no block at the end of the backward pass.
    """
    full = section.method.kind == "full"
    each = 2 * MASTER if full else precision.itemsize
    inside = weights.computed - weights.output
    block = inside * (0.5 if section.method.kind == "qlora" else each) / layers
    size = round(2 * block + (weights.total - inside) * each)
    told = "2 blocks, embeddings and output" + (", and their gradients" if full else "")
    return Component("weights made whole", size, f"{told}: an estimate")


def _one(part: Component, how: Spread) -> Component:
    if how.processes == 1:
        return part
    size, formula = part.bytes, part.formula
    if how.sharded and part.name in _CUT_UP:
        size, formula = -(-size // how.processes), f"{formula}, over {how.processes} processes"
    if how.together:
        size, formula = size * how.processes, f"{formula}, in each of {how.processes} processes"
    return part._replace(bytes=size, formula=formula)
