"""An adapter's configuration: plain LoRA, for the base model that it will be put on."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from pakar.models.intake import finding
from pakar.models.intake.configs import NO_CODE, code
from pakar.models.intake.finding import Finding
from pakar.models.intake.layout import ADAPTER, LIMITS

KINDS = ("LORA",)
"""Kinds of adapters that Pakar writes."""

_EMPTY = (
    "megatron_config", "layer_replication", "eva_config", "corda_config", "lora_ga_config", "loftq_config",
    "velora_config", "arrow_config", "monteclora_config", "kasa_config", "runtime_config",
)  # fmt: skip
"""Keys of which each value but an empty one changes the model's shape, or makes PEFT import or read something more."""

_INITIALISED = (None, True, False, "gaussian", "olora", "orthogonal", "pissa")
"""Values of `init_lora_weights` that need no further files; unused once there are weights."""


def findings(directory: Path, bases: Collection[str]) -> Iterator[Finding]:
    """What is wrong with adapter_config.json.

    Args:
        directory: Of the adapter.
        bases: Names of the base model that it will be put on. No name, or another absolute path, is accepted, too:
            directories are moved and copied, and nothing can be fetched from a path.
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
    yield from _imports(config)
    for key in _EMPTY:
        if config.get(key):
            yield Finding(ADAPTER, key, config[key], "nothing")
    if config.get("init_lora_weights") not in _INITIALISED:
        yield Finding(ADAPTER, "init_lora_weights", config["init_lora_weights"], "a kind that needs no other files")
    for key in ("r", "lora_alpha"):
        value = config.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 2**20:
            yield Finding(ADAPTER, key, value, "a number above 0")


def _imports(config: dict[str, Any]) -> Iterator[Finding]:
    """Names of modules that PEFT would import."""
    if config.get("megatron_core") not in (None, "megatron.core"):  # PEFT's default, never used without its config
        yield Finding(ADAPTER, "megatron_core", config["megatron_core"], "megatron.core or nothing")
    mapping = config.get("auto_mapping")
    if mapping is None:
        return
    library = mapping.get("parent_library") if isinstance(mapping, dict) else None
    if not (isinstance(library, str) and library.startswith("transformers.models.")):
        yield Finding(ADAPTER, "auto_mapping", mapping, NO_CODE)
