"""Make a base model trainable by the recipe's method, and name the weights that training changes.

What is frozen is kept in the number format of the computation, or in 4 bits; what is trained is always float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from transformers import PreTrainedModel

from pakar import files
from pakar.models import base as base_models
from pakar.models.base import BaseModel
from pakar.models.quantise import FourBits, library
from pakar.recipe import Adapter, Method
from pakar.train import targets
from pakar.train.launch.sharding import like

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel

Trainable = Any
"""A `PreTrainedModel`, or a `PeftModel` around one."""
_FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_BIASES: dict[str, Literal["none", "all", "lora_only"]] = {"none": "none", "all": "all", "lora-only": "lora_only"}


def load_trainable(
    base: BaseModel,
    method: Method,
    compute: torch.dtype,
    *,
    storage: torch.dtype = torch.uint8,
    to: torch.device | None = None,
) -> Trainable:
    """The base model, loaded as `method` needs it, on the device that computes, with what it trains unfrozen.

    Args:
        base: Files of the base model.
        method: full: float32 weights. lora: frozen weights in `compute`. qlora: frozen matrices in 4 bits, the rest in `compute`.
        compute: Number format of the matrix products.
        storage: See `FourBits`.
        to: Device to load to. Empty: the one that computes.

    Raises:
        RecipeError: the base or the targets cannot be trained by this method.
    """
    base.check_unquantised()
    to = to or base_models.device()
    if method.kind == "full":
        return make_trainable(base.load(to=to), method)
    if method.kind == "lora":
        return make_trainable(base.load(compute, to=to), method)
    unfold = compute if method.compute == "auto" else _FORMATS[method.compute]
    four_bits = FourBits(unfold, double=method.double_quantisation, storage=storage)
    model = base.load(compute, four_bits=four_bits, to=to)
    _let_go_of_the_file(model)
    return make_trainable(model, method)


def make_trainable(model: PreTrainedModel, method: Method) -> Trainable:
    """The model with exactly the weights unfrozen that `method` trains, and those in float32.

    Raises:
        RecipeError: the model's weights or layers do not suit the method.
    """
    if method.kind == "full":
        trainable: Trainable = model.requires_grad_(requires_grad=True)
    else:
        trainable = _with_lora(model, method)
    for module in trainable.modules():
        if any(parameter.requires_grad for parameter in module.parameters(recurse=False)):
            _to_float32(module)
    return trainable


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
            parameter.copy_(like(weights[name], parameter))


def save(model: Trainable, directory: Path, weights: Mapping[str, torch.Tensor] | None = None) -> None:
    """Write an adapter in PEFT's layout or a whole model in the hub's; safetensors, no pickle.

    Args:
        model: What was trained.
        directory: Where to.
        weights: What training changed, where the model itself holds only shards of it.
    """
    given: dict[str, Any] = {} if weights is None else {"state_dict": dict(weights)}
    if isinstance(model, PreTrainedModel):
        model.save_pretrained(str(directory), **given)
        return
    # Asked to find out by itself whether word embeddings were trained, PEFT would look the base model up on the hub.
    model.save_pretrained(str(directory), safe_serialization=True, save_embedding_layers=False, **given)
    (directory / "README.md").unlink(missing_ok=True)  # PEFT's blank form; the run has a model card
    config = directory / "adapter_config.json"
    written = files.read_json(config)  # PEFT writes a set of names in any order; equal runs should leave equal files
    files.write_json(config, {**written, "target_modules": sorted(written["target_modules"])})


def _let_go_of_the_file(model: PreTrainedModel) -> None:
    """Copy the weights that stay as they were: on a CPU they lie in the mapped file, and all that was read of it stays with them."""
    for parameter in model.parameters():
        if type(parameter) is torch.nn.Parameter and parameter.device.type == "cpu":
            parameter.data = parameter.data.clone()


def _with_lora(model: PreTrainedModel, method: Adapter) -> PeftModel:
    library()  # PEFT imports bitsandbytes, which is noisy by itself
    from peft import PeftModel, get_peft_model  # noqa: PLC0415

    chosen = targets.choose(model, method)
    adapted = get_peft_model(model, _configuration(method, chosen))
    assert isinstance(adapted, PeftModel)  # noqa: S101 - narrows a type for the checker
    return adapted


def _configuration(method: Adapter, chosen: targets.Targets) -> LoraConfig:
    from peft import LoraConfig  # noqa: PLC0415 - after `library`

    return LoraConfig(
        r=method.rank,
        lora_alpha=method.alpha,
        lora_dropout=method.dropout,
        target_modules=list(chosen.names),
        layers_to_transform=None if method.layers is None else list(method.layers),
        bias=_BIASES[method.bias],
        use_rslora=method.rank_stabilised,
        use_dora=method.dora,
        fan_in_fan_out=chosen.transposed,
        task_type="CAUSAL_LM",
    )


def _to_float32(module: torch.nn.Module) -> None:
    """Trained weights in float32; and frozen ones beside them in one module, or a norm would mix formats."""
    for parameter in module.parameters(recurse=False):
        if parameter.requires_grad or parameter.ndim < 2:
            parameter.data = parameter.data.float()
