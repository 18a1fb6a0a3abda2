"""Packing is proven, not assumed: the model itself must give packed examples the hidden states that they have alone."""

from __future__ import annotations

from typing import NamedTuple

import torch

from pakar import progress
from pakar.train.batches import Batch
from pakar.train.losses import Objective
from pakar.train.training import Training

_SHORT = (11, 7)
_EXACT = 1e-4
"""Drift that is nothing but rounding in float32."""
_ROUNDINGS = 3.0
"""Drift that is nothing but rounding in another format, in steps of that format (2⁻⁷ in bfloat16)."""


class Drift(NamedTuple):
    """How far hidden states move, relative to their norm.

    Attributes:
        apart: When examples share a row, beside each alone: rounding aside, none.
        others: Of the later examples, when the first one of their row becomes another: none at all, in any format.
        step: The step of the format that hidden states are computed in, at 1.
    """

    apart: float
    others: float
    step: float

    @property
    def harmless(self) -> bool:
        """Whether no example sees another, and rounding alone explains the rest."""
        return self.others <= _EXACT and self.apart <= max(_EXACT, _ROUNDINGS * self.step)


def packing_holds(training: Training) -> bool:
    """Whether examples in one row see nothing of each other; says so where they do."""
    objective = training.objective
    was_training = objective.training
    objective.eval()  # the model with it; noise on embeddings would be taken for a neighbour's
    vocabulary = int(training.accelerator.unwrap_model(training.model).config.vocab_size)
    longest = int(training.plan.lengths.max())
    with training.accelerator.autocast():
        found = drift(objective, vocabulary, longest, training.accelerator.device)
    objective.train(was_training)
    if found.harmless:
        return True
    progress.note(
        "train: this architecture mixes examples that share a row "
        f"(hidden states move by {max(found.apart, found.others):.1%}), so every example gets a row of its own"
    )
    return False


@torch.no_grad()
def drift(objective: Objective, vocabulary: int, longest: int, device: torch.device) -> Drift:
    """Compare examples that share a row with the same ones alone, and with another neighbour.

    The short ones stand at the end of as wide a row as there will be, where rounding by position would tell.
    """
    chance = torch.Generator().manual_seed(0)
    lengths = (max(5, longest - sum(_SHORT)), *_SHORT)
    first, other_first, *later = (torch.randint(0, vocabulary, (n,), generator=chance) for n in (lengths[0], *lengths))
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    before, objective.packed = objective.packed, True
    try:
        packed, beside_other = (
            objective.hidden(_row(torch.cat([start, *later])[None], positions).to(device))[0]
            for start in (first, other_first)
        )
        objective.packed = False
        apart = torch.cat([objective.hidden(_alone(text).to(device))[0] for text in (first, *later)])
    finally:
        objective.packed = before
    moved = _distance(beside_other[lengths[0] :], packed[lengths[0] :])
    return Drift(_distance(packed, apart), moved, torch.finfo(_format(packed)).eps)


def _format(hidden: torch.Tensor) -> torch.dtype:
    """The format of the products behind `hidden`: the context's, else its own."""
    device = hidden.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype


def _row(ids: torch.Tensor, positions: torch.Tensor) -> Batch:
    return Batch(ids, positions, torch.ones_like(ids), *_none())


def _alone(text: torch.Tensor) -> Batch:
    return _row(text[None], torch.arange(len(text))[None])


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one.float() - other.float()).norm() / other.float().norm())


def _none() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long)
