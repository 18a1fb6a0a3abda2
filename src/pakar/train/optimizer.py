"""AdamW in its four forms: plain, with moments in 8 bits, paged, and both; Muon has a module of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from pakar import progress, recipe
from pakar.models.quantise import library
from pakar.train import muon
from pakar.train.adapter import trainable_weights

EPSILON = 1e-8
"""Added to the root of the second moment; the value of Loshchilov and Hutter (2019)."""


def moment_bytes(kind: str) -> int:
    """Bytes of each of the two moments of a weight, but for the scales of 8-bit blocks and for weights too small for them."""
    return 1 if "8bit" in kind else 4


def optimizer_for(model: torch.nn.Module, section: recipe.Train) -> torch.optim.Optimizer:
    """Muon, or AdamW (Loshchilov and Hutter 2019) with weight decay on matrices only; groups carry their weights' names.

    With `8bit` the moments of weights of 4,096 numbers and more are kept in blocks of 256 (Dettmers et al. 2022); on the
    CPU as well. `paged` lets moments move to the computer's memory, where they already are without a GPU: there it is
    the same optimizer without that word, and a note says so.
    """
    weights = trainable_weights(model)
    if isinstance(section.optimizer, recipe.Muon):
        return muon.made(model, weights, section)
    groups = _groups(weights, section.optimizer.weight_decay)
    common: dict[str, Any] = {"lr": section.learning_rate, "betas": section.optimizer.betas, "eps": EPSILON}
    paged, eight_bits = "paged" in section.optimizer.kind, "8bit" in section.optimizer.kind
    on_gpu = any(weight.is_cuda for weight in weights.values())
    if paged and not on_gpu:
        progress.note(
            f"train.optimizer.kind = {section.optimizer.kind}: without a GPU there is nothing to page; the moments stay in memory"
        )
    if not eight_bits and not (paged and on_gpu):
        return torch.optim.AdamW(groups, fused=True, **common)
    optim = library().optim
    made: torch.optim.Optimizer = (optim.AdamW8bit if eight_bits else optim.AdamW)(
        groups, is_paged=paged and on_gpu, **common
    )
    return made


def page(optimizer: torch.optim.Optimizer) -> None:
    """Make a paged optimizer's moments paged again, after restoring has put them on the GPU for good."""
    inner: Any = getattr(optimizer, "optimizer", optimizer)
    if not getattr(inner, "is_paged", False):
        return
    for weight, state in inner.state.items():
        for what in ("state1", "state2"):
            buffer = inner.get_state_buffer(weight, dtype=state[what].dtype)
            state[what] = buffer.copy_(state[what])


def _groups(weights: Mapping[str, torch.Tensor], decay: float) -> list[dict[str, Any]]:
    matrices = {name: weight for name, weight in weights.items() if weight.ndim >= 2}
    vectors = {name: weight for name, weight in weights.items() if weight.ndim < 2}
    parts = ((matrices, decay), (vectors, 0.0))
    return [{"params": list(part.values()), "names": list(part), "weight_decay": rate} for part, rate in parts if part]
