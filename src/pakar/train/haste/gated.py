"""Gated layers (SwiGLU, Shazeer 2020, section 2) that keep their two inputs for the backward pass, and not a third tensor as wide."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from types import MethodType
from typing import Any

import torch
from torch.nn import functional

from pakar.train.haste.alike import alike

_PARTS = ("gate_proj", "up_proj", "down_proj", "act_fn")
"""Names of such a layer's parts in transformers."""
_IN_CACHE = 2**18
"""Numbers computed together on a CPU: what is written is then still in its cache when it is read."""


def hasten(model: torch.nn.Module) -> None:
    """Let layers that compute down(silu(gate(x)) · up(x)) and nothing else take the short way."""
    for module in model.modules():
        if set(module._modules) == set(_PARTS) and _is_plain(module):
            module.forward = MethodType(_forward, module)


def _is_plain(module: torch.nn.Module) -> bool:
    """Whether it is so, asked of a small one of its kind: some architectures clip, scale or drop on the way."""
    if "forward" in vars(module) or len(inspect.signature(module.forward).parameters) != 1:
        return False  # somebody has replaced it already, or it wants more than one input
    small = [_linear(8, 24, seed=0), _linear(8, 24, seed=1), _linear(24, 8, seed=2)]
    probe = copy.copy(module)
    probe._modules = module._modules | dict(zip(_PARTS, small, strict=False))
    return alike(probe, lambda x: _forward(probe, x), width=8, dtype=torch.float32)


def _linear(into: int, out: int, *, seed: int) -> torch.nn.Linear:
    """Random weights that leave torch's generator untouched: a training's draws must not depend on what was asked before it."""
    layer = torch.nn.Linear(into, out, bias=False, device="meta").to_empty(device="cpu")  # "meta" draws nothing
    torch.nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(seed))
    return layer


def _forward(self: Any, x: torch.Tensor) -> torch.Tensor:
    gate, up = self.gate_proj(x), self.up_proj(x)
    if torch.compiler.is_compiling() or gate.dtype != up.dtype:
        return self.down_proj(functional.silu(gate) * up)  # type: ignore[no-any-return]  # a compiler brings both together itself
    return self.down_proj(_Gated.apply(gate, up))  # type: ignore[no-any-return, no-untyped-call]


class _Gated(torch.autograd.Function):
    """silu(gate) · up, rounded as both operations round; silu(gate) is computed again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(gate, up)
        result = torch.empty_like(up, memory_format=torch.contiguous_format)
        for here, a, b in _pieces(result, gate, up):
            torch.mul(functional.silu(a), b, out=here)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        gate, up = ctx.saved_tensors
        by_gate = torch.empty_like(gate, memory_format=torch.contiguous_format)
        by_up = torch.empty_like(up, memory_format=torch.contiguous_format)
        for left, right, a, b, by in _pieces(by_gate, by_up, gate, up, gradient):
            torch.mul(by, functional.silu(a), out=right)
            torch.ops.aten.silu_backward.grad_input(by * b, a, grad_input=left)
        return by_gate, by_up


def _pieces(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """The same rows of all, on a CPU few enough for its cache; elsewhere all rows."""
    rows = [tensor.reshape(-1, tensor.shape[-1]) for tensor in tensors]
    several = tensors[0].device.type == "cpu"
    step = max(1, _IN_CACHE // rows[0].shape[-1]) if several else max(1, len(rows[0]))
    for start in range(0, len(rows[0]), step):
        yield tuple(row[start : start + step] for row in rows)
