"""RMS and layer normalisation in 16 bits, computed in float32 inside, with few passes over memory."""

from __future__ import annotations

import copy
from types import MethodType
from typing import Any

import torch
from torch.nn import functional

from pakar.train.haste.alike import alike


def hasten(model: torch.nn.Module, device: str) -> None:
    """Let RMS norms whose formula is the plain one take the short way, and on a CPU layer norms."""
    for module in model.modules():
        if type(module) is torch.nn.LayerNorm and device == "cpu":
            module.forward = MethodType(_layer_norm, module)  # type: ignore[method-assign]
        elif type(module).__name__.endswith("RMSNorm") and _is_plain(module):
            module.forward = MethodType(_rms_norm, module)


def _layer_norm(self: Any, x: torch.Tensor) -> torch.Tensor:
    """As torch's, but for autocast, which would read and write 32 bits where the next layer takes 16."""
    with torch.autocast(x.device.type, enabled=False):
        return functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)


def _is_plain(module: torch.nn.Module) -> bool:
    """Whether it is x / √(mean(x²) + ε) · weight: some architectures add one to the weight, or cast elsewhere."""
    weight, names = getattr(module, "weight", None), [name for name, _ in module.named_parameters()]
    if "forward" in vars(module):
        return False  # somebody has replaced it already
    if names != ["weight"] or weight is None or weight.ndim != 1 or _epsilon(module) is None:
        return False
    probe = copy.deepcopy(module).to_empty(device="cpu")  # also of a model without contents
    torch.nn.init.normal_(probe.weight, generator=torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    return alike(probe, lambda x: _rms_norm(probe, x), width=len(weight), dtype=weight.dtype)


def _epsilon(module: Any) -> float | None:
    return getattr(module, "variance_epsilon", getattr(module, "eps", None))


def _rms_norm(self: Any, x: torch.Tensor) -> torch.Tensor:
    normal: torch.Tensor = _RmsNorm.apply(x, _epsilon(self))  # type: ignore[no-untyped-call]
    weight: torch.Tensor = self.weight
    return normal * weight


class _RmsNorm(torch.autograd.Function):
    """x / √(mean(x²) + ε) over the last dimension (Zhang and Sennrich 2019, equation 4); float32 inside."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, epsilon: float) -> torch.Tensor:
        wide = x.float()
        scale = (wide * wide).mean(-1, keepdim=True).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, scale)
        return (wide * scale).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        x, scale = ctx.saved_tensors
        normal = x.float() * scale
        wide = gradient.float()
        along = (wide * normal).mean(-1, keepdim=True)
        return (normal.mul_(-along).add_(wide).mul_(scale)).to(x.dtype), None
