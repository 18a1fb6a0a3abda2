"""Which layers of a base model get low-rank additions; what cannot be is explained before anything is trained."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from pakar import progress
from pakar.errors import RecipeError
from pakar.recipe import Adapter

_LAYER = re.compile(r"\.(\d+)\.")


class Targets(NamedTuple):
    """Last parts of the names of the layers to adapt, and whether the base keeps these matrices transposed (GPT-2)."""

    names: tuple[str, ...]
    transposed: bool


def choose(model: PreTrainedModel, method: Adapter) -> Targets:
    """The layers that `method` names.

    Raises:
        RecipeError: `targets` or `layers` name what the model does not have, or its tied output head.
    """
    matrices = linear_layers(model)
    _check_layers(matrices, method)
    names = tuple(sorted({_last(name) for name in matrices})) if method.targets == "all-linear" else method.targets
    _check_names(model, matrices, names)
    adapted = {name: layer for name, layer in matrices.items() if _last(name) in names and _in_layers(name, method)}
    _warn_of_high_rank(adapted, method.rank)
    return Targets(tuple(names), any(_is_transposed(layer) for layer in adapted.values()))


def linear_layers(model: PreTrainedModel) -> dict[str, torch.nn.Module]:
    """Name → layer, of every linear layer but the output head."""
    head = _head(model)
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not head
    }


def _check_names(model: PreTrainedModel, matrices: Mapping[str, Any], names: Iterable[str]) -> None:
    has = sorted({_last(name) for name in matrices})
    head = _head_name(model)
    tied = bool(getattr(model.config.get_text_config(), "tie_word_embeddings", False))
    if head in names and tied:
        raise RecipeError(f"train.method.targets names {head}, but in this base model the output head and the word embeddings are one and the same matrix; additions to one would tear them apart",
                          next_step=f"take it out of train.method.targets; the others are: {', '.join(has)}.")  # fmt: skip
    absent = sorted(set(names) - {*has, head})
    if absent:
        raise RecipeError(f"train.method.targets = {list(names)}: the base model has no linear layers named {', '.join(absent)}; it has: {', '.join(has)}",
                          next_step="name some of these, or `all-linear`.")  # fmt: skip


def _check_layers(matrices: Iterable[str], method: Adapter) -> None:
    numbers = {int(number) for name in matrices for number in _LAYER.findall(name)}
    if method.layers is None:
        return
    absent = sorted(set(method.layers) - numbers)
    if absent or not method.layers:
        raise RecipeError(f"train.method.layers = {list(method.layers)}: the base model has the layers 0 to {max(numbers, default=0)}",
                          next_step="choose from these numbers, or leave train.method.layers out to adapt all.")  # fmt: skip


def _warn_of_high_rank(adapted: Mapping[str, torch.nn.Module], rank: int) -> None:
    small = {_last(name): side for name, layer in adapted.items() if (side := _smaller_side(layer)) < rank}
    if small:
        listed = ", ".join(f"{name} ({side})" for name, side in sorted(small.items()))
        progress.warn(
            f"train.method.rank = {rank} is more than the smaller side of {listed}: additions of that rank hold more "
            "numbers than the matrix itself and can do no more than full training of it"
        )


def _smaller_side(layer: Any) -> int:
    return min(layer.weight.shape) if isinstance(layer, Conv1D) else min(layer.in_features, layer.out_features)


def _is_transposed(layer: Any) -> bool:
    """Also true of a 4-bit layer made from a transposed one: the adapter will be loaded on the original."""
    return isinstance(layer, Conv1D) or getattr(layer, "source_cls", None) is Conv1D


def _head(model: PreTrainedModel) -> torch.nn.Module | None:
    head: torch.nn.Module | None = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return head


def _head_name(model: PreTrainedModel) -> str:
    head = _head(model)
    return next((_last(name) for name, module in model.named_modules() if module is head and name), "")


def _in_layers(name: str, method: Adapter) -> bool:
    return method.layers is None or any(int(number) in method.layers for number in _LAYER.findall(name))


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]
