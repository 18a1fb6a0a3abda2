"""What a layer in 4 bits does with memory, for models without weights: it unfolds its matrix for every product."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D


def in_four_bits(layers: Iterable[torch.nn.Module], compute: torch.dtype) -> None:
    """Let these linear layers behave as if they were kept in 4 bits, as bitsandbytes computes with them."""
    for layer in layers:
        layer.forward = _Unfolding(layer, compute)


class _Unfolding:
    """The product with a matrix that is unfolded first, and again in the backward pass."""

    def __init__(self, layer: Any, compute: torch.dtype) -> None:
        rows, columns = layer.weight.shape
        self._shape = (columns, rows) if isinstance(layer, Conv1D) else (rows, columns)
        self._layer, self._compute = layer, compute

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = _Product.apply(inputs.to(self._compute), self._shape)  # type: ignore[no-untyped-call]
        bias = self._layer.bias
        return (made if bias is None else made + bias.to(self._compute)).to(inputs.dtype)


class _Product(torch.autograd.Function):
    """Keeps nothing for the backward pass: the gradient of the inputs needs the matrix alone, which is unfolded anew."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        ctx.shape = shape
        return torch.nn.functional.linear(inputs, inputs.new_empty(shape))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0] @ gradients[0].new_empty(ctx.shape), None
