"""An adapter's configuration: plain LoRA, for the base model that it will be put on, as its weights are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pakar.models.intake import finding
from pakar.models.intake.configs import NO_CODE, code
from pakar.models.intake.finding import Finding
from pakar.models.intake.layout import ADAPTER, LIMITS
from pakar.models.intake.weights import Tensor

KINDS = ("LORA",)
"""Kinds of adapters that Pakar writes."""

_MOST_NAMES = 1024
_INITIALISED = (None, True, False, "gaussian", "olora", "orthogonal", "pissa")
"""Values of `init_lora_weights` that need no further files; unused once there are weights."""


def findings(directory: Path, bases: Collection[str], tensors: Mapping[str, Tensor] | None = None) -> Iterator[Finding]:
    """What is wrong with adapter_config.json.

    Args:
        directory: Of the adapter.
        bases: Names of the base model that it will be put on. No name, or another absolute path, is accepted, too:
            directories are moved and copied, and nothing can be fetched from a path.
        tensors: The adapter's weights.
    """
    config, wrong = finding.read(directory / ADAPTER, LIMITS[ADAPTER])
    yield from wrong
    if config is None:
        if not wrong:
            yield Finding(ADAPTER, "", "missing", "an adapter's configuration")
        return
    yield from code(config, ADAPTER)
    if config.get("peft_type") not in KINDS:
        yield Finding(ADAPTER, "peft_type", config.get("peft_type"), f"one of {', '.join(KINDS)}")
    named = config.get("base_model_name_or_path") or ""
    if not isinstance(named, str) or not (named in ("", *bases) or Path(named).is_absolute()):
        yield Finding(ADAPTER, "base_model_name_or_path", named, f"{' or '.join(bases)}, which is used")
    mapping = config.get("auto_mapping")
    if mapping is not None and not _is_of_transformers(mapping):
        yield Finding(ADAPTER, "auto_mapping", mapping, NO_CODE)
    yield from _values(config)
    yield from _ranks(config, tensors or {})


def _values(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Every key is one that plain LoRA has, with a value of the kind that it has there, or says nothing."""
    for key, value in config.items():
        if key in _ELSEWHERE or key.startswith("__") or "_implementation" in f"_{key}":
            continue
        if key not in _ACCEPTED:
            if value not in (None, False, [], {}):
                yield Finding(ADAPTER, key, value, "nothing: plain LoRA has no such key, or leaves it empty")
        elif not _ACCEPTED[key][0](value):
            yield Finding(ADAPTER, key, value, _ACCEPTED[key][1])
    for key in ("r", "lora_alpha", "target_modules"):
        if key not in config:
            yield Finding(ADAPTER, key, "missing", _ACCEPTED[key][1])


def _ranks(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Iterator[Finding]:
    """The rank is that of the weights: else a number in a text would decide how much memory is taken."""
    rank = config.get("r")
    for name, tensor in tensors.items():
        if _is_rank(rank) and ".lora_A" in name and tensor.shape[:1] != (rank,):
            yield Finding(ADAPTER, "r", rank, f"the first size of {name}: {[*tensor.shape]}")
            return


def _is_of_transformers(mapping: object) -> bool:
    library = mapping.get("parent_library") if isinstance(mapping, dict) else None
    return isinstance(library, str) and library.startswith("transformers.models.")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 2**20


def _is_rank(value: object) -> bool:
    return type(value) is int and 0 < value <= 2**16


def _is_share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1


def _is_switch(value: object) -> bool:
    return value is None or isinstance(value, bool)


def _is_name(value: object) -> bool:
    """Dotted names alone: anything else would be a regular expression to PEFT, which may take for ever."""
    return isinstance(value, str) and 0 < len(value) <= 512 and all(part.isalnum() for part in value.replace("_", "").split("."))  # fmt: skip


def _are_targets(value: object) -> bool:
    names = isinstance(value, list) and 0 < len(value) <= _MOST_NAMES and all(_is_name(one) for one in value)
    return names or value == "all-linear"


def _are_layers(value: object) -> bool:
    listed = value if isinstance(value, list) else [] if value is None else [value]
    return len(listed) <= _MOST_NAMES and all(type(one) is int and 0 <= one < _MOST_NAMES for one in listed)


def _are_patterns(value: object) -> bool:
    listed = value if isinstance(value, list) else [] if value is None else [value]
    return len(listed) <= _MOST_NAMES and all(one == "" or _is_name(one) for one in listed)


def _one_of(*values: object) -> Callable[[object], bool]:
    return lambda value: any(value is one or (isinstance(one, str) and value == one) for one in values)


def _is_text(value: object) -> bool:
    return value is None or (isinstance(value, str) and len(value) <= 512)


_ELSEWHERE = ("peft_type", "base_model_name_or_path", "auto_mapping", "auto_map", "trust_remote_code")
"""Keys that are looked at by rules of their own."""

_SWITCH = (_is_switch, "true or false")
_TEXT = (_is_text, "a text of at most 512 letters, or nothing")

_ACCEPTED: dict[str, tuple[Callable[[object], bool], str]] = {
    "r": (_is_rank, "a whole number above 0"),
    "lora_alpha": (_is_number, "a number above 0"),
    "lora_dropout": (_is_share, "a number from 0 to below 1"),
    "target_modules": (_are_targets, f"a list of up to {_MOST_NAMES:,} plain names of modules, or all-linear"),
    "layers_to_transform": (_are_layers, f"numbers of layers below {_MOST_NAMES:,}, or nothing"),
    "layers_pattern": (_are_patterns, "plain names, or nothing"),
    "bias": (_one_of(None, "none", "all", "lora_only"), "none, all or lora_only"),
    "init_lora_weights": (_one_of(*_INITIALISED), "a kind that needs no other files"),
    "megatron_core": (
        _one_of(None, "megatron.core"),
        "megatron.core or nothing",
    ),  # PEFT's default, unused without its config
    "task_type": (_one_of(None, "CAUSAL_LM"), "CAUSAL_LM"),
    "qalora_group_size": (_is_rank, "a whole number above 0"),
    **dict.fromkeys(("fan_in_fan_out", "inference_mode", "use_rslora", "use_dora", "lora_bias"), _SWITCH),
    **dict.fromkeys(("peft_version", "revision"), _TEXT),
}
"""Key → test of its value, and what is expected, of those that say something in an adapter that Pakar or PEFT wrote."""
