"""Make a base model trainable by the recipe's method, and name the weights that training changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

from pakar import files
from pakar.errors import RecipeError
from pakar.recipe import Lora, Method

Trainable = PreTrainedModel | PeftModel


def make_trainable(model: PreTrainedModel, method: Method) -> Trainable:
    """The model with exactly the weights unfrozen that `method` trains.

    Raises:
        RecipeError: `targets` names modules that the model does not have.
    """
    if method.kind == "full":
        return model.requires_grad_(requires_grad=True)
    return _with_lora(model, method)


def trainable_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Name → weight, of everything that training changes. Tied weights appear once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def load_weights(model: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Put saved weights back into a model made by the same method."""
    own = trainable_weights(model)
    if set(own) != set(weights):
        raise ValueError(f"saved weights do not fit: {sorted(set(own) ^ set(weights))[:5]}")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(weights[name])


def save(model: Trainable, directory: Path) -> None:
    """Write an adapter in PEFT's layout or a whole model in the hub's; safetensors, no pickle."""
    model.save_pretrained(str(directory), safe_serialization=True)
    (directory / "README.md").unlink(missing_ok=True)  # PEFT's blank form; the run has a model card
    config = directory / "adapter_config.json"
    if config.exists():  # PEFT writes a set of names in any order; equal runs should leave equal files
        written = files.read_json(config)
        written["target_modules"] = sorted(written["target_modules"])
        files.write_json(config, written)


def _with_lora(model: PreTrainedModel, method: Lora) -> PeftModel:
    targets = method.targets if isinstance(method.targets, str) else list(method.targets)
    config = LoraConfig(
        r=method.rank,
        lora_alpha=method.alpha,
        lora_dropout=method.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    try:
        adapted = get_peft_model(model, config)
    except ValueError as error:
        if "arget modules" not in str(error):
            raise
        layers = (name.rsplit(".", 1)[-1] for name, module in model.named_modules() if _has_matrix(module))
        raise RecipeError(f"train.method.targets = {targets}: the base model has no such modules; it has: {', '.join(sorted(set(layers)))}",
                          next_step="name some of these, or `all-linear`.") from None  # fmt: skip
    assert isinstance(adapted, PeftModel)  # noqa: S101 - narrows a type for the checker
    return adapted


def _has_matrix(module: torch.nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, torch.Tensor) and weight.ndim == 2 and not isinstance(module, torch.nn.Embedding)
