"""Dropout by drawing the few places that are dropped, not a number for each that is kept."""

from __future__ import annotations

import math
from types import MethodType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

MOST = 0.5
"""Largest share for which drawing places is the shorter way."""


def hasten(model: torch.nn.Module) -> None:
    """Let the model's own dropout layers take the short way."""
    for module in model.modules():
        if type(module) is torch.nn.Dropout and 0 < module.p <= MOST:
            module.forward = MethodType(_forward, module)  # type: ignore[method-assign]


def places(x: torch.Tensor, share: float) -> torch.Tensor | None:
    """Places of the flattened `x` that are dropped; none if nothing is. [K], int64, some of them twice."""
    return _places(x.detach(), seed(), draws(x.numel(), share)) if share else None


def seed() -> torch.Tensor:
    """From torch's generator; [], int64, on the CPU.

    Drawn outside the operators below: a compiler makes one of two calls with the same input, which would give two layers one mask.
    """
    return torch.randint(2**63 - 1, ())


def emptied(x: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """A copy of `x` with zeros at some places of the flattened tensor."""
    left = x.clone(memory_format=torch.contiguous_format)
    left.view(-1).index_fill_(0, where, 0.0)
    return left


def drop(x: torch.Tensor, share: float) -> tuple[torch.Tensor, float]:
    """Set numbers to zero at random, each with the chance `share`.

    Args:
        x: Any shape, on a CPU.
        share: From 0 to `MOST`.

    Returns:
        What is left, and the share that was kept, by which it is yet to be divided.
    """
    where = places(x, share)
    if where is None:
        return x, 1.0
    kept: torch.Tensor = _Drop.apply(x, where)  # type: ignore[no-untyped-call]
    return kept, 1.0 - share


def draws(count: int, share: float) -> int:
    """How often to draw one of `count` places, with replacement, so that each is hit with the chance `share`.

    k draws miss a place with the chance (1 - 1/n)^k, which is e^(-k/n) for large n. k is a whole number and at least one, so the
    share is coarse for tensors of less than a few hundred numbers; those of a training have many thousands.
    """
    return max(min(1, count), int(count * -math.log1p(-share)))


def _forward(self: Any, x: torch.Tensor) -> torch.Tensor:
    if not self.training:
        return x
    kept, share = drop(x, self.p)
    return kept / share


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(where)
        return emptied(x, where)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (where,) = ctx.saved_tensors
        return emptied(gradient, where), None


@torch.library.custom_op("pakar::dropped", mutates_args=())
def dropped(x: torch.Tensor, seed: torch.Tensor, share: float) -> torch.Tensor:
    """A copy of `x` in which each number is zero with the chance `share`: the same places for the same seed, shape and device."""
    if x.device.type == "cpu" and share <= MOST:
        return emptied(x, torch.from_numpy(_evenly(np.random.SFC64(int(seed)), draws(x.numel(), share), x.numel())))
    generator = torch.Generator(x.device).manual_seed(int(seed))
    kept = torch.empty(x.shape, dtype=torch.bool, device=x.device).bernoulli_(1 - share, generator=generator)
    return x.contiguous() * kept


@torch.library.custom_op("pakar::places", mutates_args=())
def _places(like: torch.Tensor, seed: torch.Tensor, count: int) -> torch.Tensor:
    """Places in a flattened tensor drawn evenly, with replacement; [count], int64.

    torch's own generator draws one number after the other. Here it draws the seed of a fast one (SFC64); so torch's state is
    all that a resumed training needs.
    """
    return torch.from_numpy(_evenly(np.random.SFC64(int(seed)), count, like.numel()))


def _evenly(fast: np.random.SFC64, count: int, places: int) -> npt.NDArray[np.int64]:
    """Two places from each draw of 64 bits; scaled by a product (Lemire 2019, section 2), so odds differ by places / 2^32 at most."""
    halves = fast.random_raw(-(-count // 2)).view(np.uint32)[:count]
    return ((halves.astype(np.uint64) * np.uint64(places)) >> np.uint64(32)).view(np.int64)


@_places.register_fake
def _(like: torch.Tensor, _seed: torch.Tensor, count: int) -> torch.Tensor:
    return like.new_empty((count,), dtype=torch.int64)


@dropped.register_fake
def _(x: torch.Tensor, _seed: torch.Tensor, _share: float) -> torch.Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)
