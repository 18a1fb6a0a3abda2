"""What any optimizer remembers, as named tensors and JSON scalars; knows nothing of what the values mean.

Holds for AdamW (float moments), for 8-bit optimizers (uint8 moments with their scales and code books) and for Muon alike.
Covers optimizers whose state per weight is flat and whose groups carry their weights' names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from pakar.train.launch.sharding import like, whole

Scalar = bool | int | float | str | None


class OptimizerState(NamedTuple):
    """Everything but the weights and their gradients.

    Attributes:
        tensors: `<key>/<weight's name>` → tensor, such as `exp_avg/model.layers.0.weight`.
        scalars: Weight's name → key → value, for what is no tensor.
        groups: Of every parameter group its names and settings.
    """

    tensors: Mapping[str, torch.Tensor]
    scalars: Mapping[str, Mapping[str, Scalar]]
    groups: Sequence[Mapping[str, Any]]


def capture(optimizer: torch.optim.Optimizer) -> OptimizerState:
    """Where an optimizer stands. The tensors are its own, not copies, but for sharded ones."""
    tensors: dict[str, torch.Tensor] = {}
    scalars: dict[str, dict[str, Scalar]] = {}
    for name, weight in _named(optimizer).items():
        for key, value in optimizer.state.get(weight, {}).items():
            if isinstance(value, torch.Tensor):
                tensors[f"{key}/{name}"] = whole(value)
            elif isinstance(value, Scalar):
                scalars.setdefault(name, {})[key] = value
            else:
                raise TypeError(f"optimizer state {key} of {name} is a {type(value).__name__}, which cannot be saved")
    return OptimizerState(tensors, scalars, [_settings(group) for group in optimizer.param_groups])


def restore(optimizer: torch.optim.Optimizer, saved: OptimizerState) -> None:
    """Put an optimizer over the same weights back to where it stood, to the bit.

    Raises:
        ValueError: it is an optimizer of other weights.
    """
    names = [group["names"] for group in optimizer.param_groups]
    if names != [group["names"] for group in saved.groups]:
        raise ValueError("optimizer and checkpoint hold different weights")
    weights = _named(optimizer)
    positions = {name: index for index, name in enumerate(weights)}
    state: dict[int, dict[str, Any]] = {positions[name]: dict(values) for name, values in saved.scalars.items()}
    for path, tensor in saved.tensors.items():
        key, name = path.split("/", 1)
        state.setdefault(positions[name], {})[key] = like(tensor, weights[name])
    groups = [
        {**own, **_like(own, kept)}
        for own, kept in zip(optimizer.state_dict()["param_groups"], saved.groups, strict=True)
    ]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    _undo_casts(optimizer, weights, saved.tensors)


def _named(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Name → weight in the optimizer's own order."""
    return {
        name: weight
        for group in optimizer.param_groups
        for name, weight in zip(group["names"], group["params"], strict=True)
    }


def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in group.items()
        if key != "params" and isinstance(value, Scalar | tuple | list)
    }


def _like(own: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no tuples, optimizers do."""
    return {key: tuple(value) if isinstance(own.get(key), tuple) else value for key, value in kept.items()}


def _undo_casts(
    optimizer: torch.optim.Optimizer, weights: Mapping[str, torch.Tensor], saved: Mapping[str, torch.Tensor]
) -> None:
    """`load_state_dict` gives float tensors the weight's own type; moments kept more exactly than weights would lose by it."""
    for path, tensor in saved.items():
        key, name = path.split("/", 1)
        values = optimizer.state[weights[name]]
        if values[key].dtype != tensor.dtype:
            values[key] = tensor.to(values[key].device)
