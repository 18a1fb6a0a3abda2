"""Layers that compute the same with fewer passes over memory, where a processor's time goes into those.

Nothing here changes what is learnt or saved: modules keep their weights and names, and rounding aside every function gives
what it replaces. A new one gets a module of its own, and a line in `hasten`.
"""

from __future__ import annotations

import torch

from pakar.train.haste import activations, attention, dropout, gated, liger, lora, norms


def hasten(model: torch.nn.Module, device: str) -> None:
    """Let the layers that are known here take the short way; everything else stays as it is.

    Args:
        model: Changed in place.
        device: `cpu`, or another kind: there it is LoRA, RMS norms and gated layers, for the memory that
            they keep, and Liger's kernels where installed.
    """
    liger.hasten(model, device)
    lora.hasten(model, device)
    norms.hasten(model, device)
    gated.hasten(model)
    if device == "cpu":
        for part in (activations, dropout):
            part.hasten(model)


attention_on = attention.on
"""Attention takes the short way in a whole process, and only while it is asked to: transformers looks it up by name."""
