"""Liger's kernels for norms and gated layers on a GPU, where the user has installed them (Hsu et al. 2024)."""

from __future__ import annotations

import sys

import torch
from transformers import PreTrainedModel
from transformers.integrations.liger import apply_liger_kernel
from transformers.utils.import_utils import is_liger_kernel_available

from pakar import progress
from pakar.train.losses import causal

_LEFT = {"rope": False, "cross_entropy": False, "fused_linear_cross_entropy": False}
"""The loss is Pakar's own, in chunks; rotary positions could only be replaced for the whole process."""
_SILU = {"silu", "swish"}
"""Names of the activation that Liger's SwiGLU computes, whatever the model's own is."""


def hasten(model: torch.nn.Module, device: str) -> None:
    """Let one model's layers take Liger's way; models of its architecture that are made later keep their own.

    Liger also puts its classes into the architecture's module, for all models to come. That is taken back: a model that computes
    on the CPU, or is only planned, could not use them.

    Args:
        model: Changed in place, if Liger knows its architecture.
        device: Nothing happens unless it is `cuda`.
    """
    if device != "cuda" or not is_liger_kernel_available():
        return
    base = causal(model)
    if not isinstance(base, PreTrainedModel):
        return
    theirs = vars(sys.modules[type(base).__module__])
    before, replaced = dict(theirs), _replaced(base)
    left = _LEFT if getattr(base.config, "hidden_act", None) in _SILU else _LEFT | {"swiglu": False}
    try:
        apply_liger_kernel(base, left)  # type: ignore[no-untyped-call]
    finally:
        theirs.update(before)
    if _replaced(base) > replaced:
        progress.note("train: norms and gated layers are computed by Liger's kernels, which are installed")


def _replaced(model: torch.nn.Module) -> int:
    return sum("forward" in vars(module) for module in model.modules())
