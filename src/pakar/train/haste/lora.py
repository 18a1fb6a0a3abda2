"""LoRA's addition with few passes over memory, and with one copy of its input."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from transformers.pytorch_utils import Conv1D

from pakar.train.haste import dropout


def hasten(model: torch.nn.Module, device: str) -> None:
    """Let plain linear LoRA layers take the short way that there is on such a device."""
    way = _forward if device == "cpu" else _beside
    for module in model.modules():
        if isinstance(module, LoraLayer) and _is_plain(module):
            module.forward = MethodType(way, module)


def _is_plain(layer: Any) -> bool:
    """Whether it is a linear layer with one adapter that only adds: no DoRA, no bias of its own, nothing merged."""
    names = list(layer.active_adapters)
    if len(names) != 1 or names[0] not in layer.lora_A or layer.merged or layer.disable_adapters:
        return False
    weight = getattr(layer.base_layer, "weight", None)
    is_linear = isinstance(weight, torch.Tensor) and weight.ndim == 2
    return is_linear and not layer.lora_variant and layer.lora_B[names[0]].bias is None


def _forward(self: Any, x: torch.Tensor, *more: Any, **how: Any) -> torch.Tensor:
    """W x + s B A dropout(x) (Hu et al. 2021, equation 3), all sums in one where W is no more than a matrix."""
    matrix, (name,) = _matrix(self.base_layer), self.active_adapters
    share, form = _dropout(self.lora_dropout[name]), _form(x)
    first, second, scale = self.lora_A[name].weight, self.lora_B[name].weight, self.scaling[name] / (1 - share)
    if matrix is None or matrix.dtype != form or share > dropout.MOST or _is_mixed(x, first):
        return _beside(self, x, *more, **how)
    x = x.to(form)
    whole: torch.Tensor = _Linear.apply(x, matrix, self.base_layer.bias, dropout.places(x, share), first, second, scale)  # type: ignore[no-untyped-call]
    return whole


def _beside(self: Any, x: torch.Tensor, *more: Any, **how: Any) -> torch.Tensor:
    """The same where the base layer has a way of its own, such as in 4 bits."""
    (name,) = self.active_adapters
    first, second = self.lora_A[name].weight, self.lora_B[name].weight
    if _is_mixed(x, first):
        peft_forward = type(self).forward
        return peft_forward(self, x, *more, **how)  # type: ignore[no-any-return]
    x = x.to(_form(x))  # once, for both ways
    share = _dropout(self.lora_dropout[name])
    added: torch.Tensor = _Addition.apply(self.base_layer(x), x, first, second, self.scaling[name], share)  # type: ignore[no-untyped-call]
    return added


def _form(x: torch.Tensor) -> torch.dtype:
    """The number format of products with `x`."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def _is_mixed(x: torch.Tensor, first: torch.Tensor) -> bool:
    """Without autocast nobody brings a base in 16 bits and an adapter in 32 together but PEFT's own layer."""
    return x.dtype != first.dtype and not torch.is_autocast_enabled(x.device.type)


def _dropout(layer: torch.nn.Module) -> float:
    return float(getattr(layer, "p", 0.0)) if layer.training else 0.0


def _matrix(base: torch.nn.Module) -> torch.Tensor | None:
    """[in, out] of a frozen linear layer that does nothing but multiply; None for all others, such as 4-bit ones."""
    changed = base._forward_hooks or base._forward_pre_hooks or "forward" in vars(base)
    if type(base) not in {torch.nn.Linear, Conv1D} or changed:
        return None
    if any(weight.requires_grad for weight in base.parameters()):
        return None
    weight = base.weight
    assert isinstance(weight, torch.Tensor)  # noqa: S101 - narrows a type for the checker
    return weight if type(base) is Conv1D else weight.t()


class _Linear(torch.autograd.Function):
    """x W + b + scale · (dropped x Aᵀ) Bᵀ with frozen W and b: every sum is made in place.

    Shapes: x [..., in], matrix [in, out], bias [out] or None, where [K] or None, first (A) [rank, in], second (B) [out, rank].
    """

    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917 - autograd wants every tensor as an argument of its own
        ctx: Any,
        x: torch.Tensor,
        matrix: torch.Tensor,
        bias: torch.Tensor | None,
        where: torch.Tensor | None,
        first: torch.Tensor,
        second: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        result = rows @ matrix if bias is None else torch.addmm(bias, rows, matrix)
        kept = rows if where is None else dropout.emptied(rows, where)
        a, b = first.to(x.dtype), second.to(x.dtype)
        low = (kept @ a.t()).mul_(scale)
        ctx.save_for_backward(matrix, where, kept, a, b, low)
        ctx.scale, ctx.dtype, ctx.shape = scale, first.dtype, x.shape
        return result.addmm_(low, b.t()).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        matrix, where, kept, a, b, low = ctx.saved_tensors
        by_result = gradient.reshape(-1, gradient.shape[-1])
        by_low = (by_result @ b).mul_(ctx.scale)
        by_x = None
        if ctx.needs_input_grad[0]:
            by_x = by_low @ a
            if where is not None:
                by_x.view(-1).index_fill_(0, where, 0.0)
            by_x = by_x.addmm_(by_result, matrix.t()).view(ctx.shape)
        return by_x, None, None, None, *_by_adapter(ctx, by_low, by_result, kept, low), None


class _Addition(torch.autograd.Function):
    """result + scale / (1 - share) · (dropped x Aᵀ) Bᵀ.

    What is dropped is drawn anew in the backward pass: only `x` is kept, which layers with one input have in common.
    """

    @staticmethod
    def forward(
        ctx: Any,
        result: torch.Tensor,
        x: torch.Tensor,
        first: torch.Tensor,
        second: torch.Tensor,
        scale: float,
        share: float,
    ) -> torch.Tensor:
        rows, a, b = x.reshape(-1, x.shape[-1]), first.to(x.dtype), second.to(x.dtype)
        seed = dropout.seed() if share else None
        ctx.scale, ctx.share, ctx.dtype, ctx.shape = scale / (1 - share), share, first.dtype, x.shape
        low = (_dropped(rows, seed, share) @ a.t()).mul_(ctx.scale)
        ctx.save_for_backward(rows, a, b, low, seed)
        # Not in place: what a layer with a bias gives out is a view, and compilers lose track of a view that is written over.
        return torch.addmm(result.reshape(-1, result.shape[-1]), low, b.t()).view(result.shape)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, a, b, low, seed = ctx.saved_tensors
        by_result = gradient.reshape(-1, gradient.shape[-1])
        by_low = (by_result @ b).mul_(ctx.scale)
        by_x = _dropped(by_low @ a, seed, ctx.share).view(ctx.shape) if ctx.needs_input_grad[1] else None
        by_adapter = _by_adapter(ctx, by_low, by_result, _dropped(rows, seed, ctx.share), low)
        return gradient, by_x, *by_adapter, None, None


def _dropped(x: torch.Tensor, seed: torch.Tensor | None, share: float) -> torch.Tensor:
    return x if seed is None else dropout.dropped(x, seed, share)


def _by_adapter(
    ctx: Any, by_low: torch.Tensor, by_result: torch.Tensor, rows: torch.Tensor, low: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients by A and B."""
    return (by_low.t() @ rows).to(ctx.dtype), (by_result.t() @ low).to(ctx.dtype)
