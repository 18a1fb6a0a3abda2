"""Muon for the matrices and AdamW for the rest, as one optimizer: one list of groups, one state, saved and resumed as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from pakar import recipe

FACTOR = "factor"
"""Of a parameter group: its learning rate as a multiple of the one that the schedule sets."""
_MATRICES, _OTHERS = "muon", "adamw"


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon and AdamW side by side.

    Args:
        weights: Name → weight, of everything that is trained.
        matrices: Names of those that Muon takes; all others are AdamW's.
        section: Their settings.
        learning_rate: Peak rate of the matrices.
    """

    def __init__(
        self,
        weights: Mapping[str, torch.Tensor],
        matrices: set[str],
        *,
        section: recipe.Muon,
        learning_rate: float,
    ) -> None:
        theirs = {name: weight for name, weight in weights.items() if name in matrices}
        rest = {name: weight for name, weight in weights.items() if name not in matrices}
        others_rate = section.others_learning_rate or learning_rate
        self._inner: dict[str, torch.optim.Optimizer] = {}
        if theirs:
            self._inner[_MATRICES] = torch.optim.Muon(
                [_group(theirs, _MATRICES, 1.0)],
                lr=learning_rate,
                momentum=section.momentum,
                weight_decay=section.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        if rest:
            self._inner[_OTHERS] = torch.optim.AdamW(
                [_group(rest, _OTHERS, others_rate / learning_rate)],
                lr=others_rate,
                betas=section.betas,
                weight_decay=0.0,
                fused=True,
            )
        super().__init__([group for one in self._inner.values() for group in one.param_groups], {})
        self._share()

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of both; the rate of each group is the one that was set, times its factor."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            group["lr"] *= group[FACTOR]
        for one in self._inner.values():
            one.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take a saved state over, for both."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        """Let both work on this one's groups and state."""
        for kind, one in self._inner.items():
            one.param_groups = [group for group in self.param_groups if group["of"] == kind]
            one.state = self.state


def made(model: torch.nn.Module, weights: Mapping[str, torch.Tensor], section: recipe.Train) -> MuonWithAdamW:
    """The optimizer of a model's trained weights.

    The matrices are all weights with two dimensions but embeddings and output layer, as Jordan et al. recommend; convolutions
    and the like stay with AdamW.
    """
    assert isinstance(section.optimizer, recipe.Muon)  # noqa: S101 - narrows a type for the checker
    tables = _tables(model)
    matrices = {name for name, weight in weights.items() if weight.ndim == 2 and id(weight) not in tables}
    return MuonWithAdamW(weights, matrices, section=section.optimizer, learning_rate=section.learning_rate)


def _group(weights: Mapping[str, torch.Tensor], kind: str, factor: float) -> dict[str, Any]:
    return {"params": [*weights.values()], "names": [*weights], "of": kind, FACTOR: factor}


def _tables(model: Any) -> set[int]:
    """Weights of embeddings and of the output layer, by identity."""
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    found = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    return {id(weight) for module in (*found, *filter(None, [head])) for weight in module.parameters()}
