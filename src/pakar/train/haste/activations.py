"""GELU in one operation, where an architecture writes it out in eight."""

from __future__ import annotations

from functools import partial
from types import MethodType
from typing import Any

import torch
from torch.nn import functional

from pakar.train.haste.alike import alike


def hasten(model: torch.nn.Module) -> None:
    """Let modules that compute GELU's tanh form (Hendrycks and Gimpel 2016, section 2) take torch's own."""
    gelu = partial(functional.gelu, approximate="tanh")
    for module in model.modules():
        named = "gelu" in type(module).__name__.lower() and not [*module.parameters()]
        if named and alike(module, gelu, width=256, dtype=torch.float32):
            module.forward = MethodType(_gelu, module)


def _gelu(_: Any, x: torch.Tensor) -> torch.Tensor:
    return functional.gelu(x, approximate="tanh")
