"""The architecture of a base model, without its weights: enough to count and to plan, nothing to compute with."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from pakar import recipe
from pakar.errors import RecipeError
from pakar.models import configuration, faults, intake, scratch
from pakar.models.base import STARTER, check_there
from pakar.models.known import known


class Architecture(NamedTuple):
    """What is known of a base model before its weights are there.

    Attributes:
        config: Shapes, as transformers describes them.
        origin: Where that was found, in words.
        present: Whether the weights are on this disk.
    """

    config: PreTrainedConfig
    origin: str
    present: bool


def architecture(model: recipe.Model) -> Architecture:
    """The architecture of the recipe's base model: from its directory, the hub's cache, bundled facts, or the hub, in this order.

    No weights are fetched; at most a configuration of a few kilobytes.

    Raises:
        RecipeError: the model is nowhere to be found, or its configuration is not that of a language model.
    """
    if model.architecture is not None:
        made = scratch.config(model.architecture, model.context_tokens)
        return Architecture(made, "the recipe's own architecture", present=True)
    if model.base == "starter":
        return Architecture(_read(STARTER), "bundled with Pakar", present=True)
    path = Path(model.base)
    if path.is_absolute():
        check_there(path)
        return Architecture(_read(path), f"config.json in {path}", present=bool(list(path.glob("*.safetensors"))))
    cached = _cached(model)
    if cached is not None:
        whole = bool(list(cached.parent.glob("*.safetensors")))
        return Architecture(_read(cached.parent), "config.json in the hub's cache", present=whole)
    facts = known(model.base)
    if facts is not None:
        kind, shape = facts.shape["model_type"], {k: v for k, v in facts.shape.items() if k != "model_type"}
        return Architecture(AutoConfig.for_model(kind, **shape), "bundled facts, without its files", present=False)
    return Architecture(_read(_fetched(model).parent), "config.json from the hub", present=False)


def empty_model(config: PreTrainedConfig, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """The whole model on the meta device: every shape, no memory."""
    with torch.device("meta"), faults.told(Path(config.name_or_path or "."), "the model (config.json)"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
    assert isinstance(model, PreTrainedModel)  # noqa: S101 - narrows a type for the checker
    return model


def with_layers(config: PreTrainedConfig, layers: int) -> PreTrainedConfig:
    """The same architecture with fewer layers."""
    shorter = type(config).from_dict(config.to_dict())
    shorter.num_hidden_layers = layers
    kinds = getattr(shorter, "layer_types", None)
    if kinds:
        shorter.layer_types = kinds[:layers]
    return shorter


def _read(directory: Path) -> PreTrainedConfig:
    intake.refuse_configuration(directory, f"model.base: {directory}", error=RecipeError)
    return configuration.read(directory)


def _cached(model: recipe.Model) -> Path | None:
    try:
        found = try_to_load_from_cache(model.base, "config.json", revision=model.revision)
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None


def _fetched(model: recipe.Model) -> Path:
    try:
        return Path(hf_hub_download(model.base, "config.json", revision=model.revision))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise RecipeError(f"model.base: nothing is known of {model.base!r}, and it cannot be looked up: {reason}",
                          next_step="check the name and the network, or use `starter`, which needs no download.") from None  # fmt: skip
