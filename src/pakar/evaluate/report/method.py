"""How the model was trained, in words: what training has written counts, and not what the recipe says by now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pakar import files
from pakar.run import Run

ADAPTERS = {"lora": "LoRA", "qlora": "QLoRA"}
"""Methods whose model is an adapter beside its base, and what they are called."""

_IN_PEFT = {"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout", "targets": "target_modules"}


def settings(run: Run, training: Mapping[str, Any]) -> dict[str, Any]:
    """The method of the tuned model with all its values; that of the recipe where none is trained yet.

    `base_dtype` among them is the number format that the base model was loaded in.

    Args:
        run: Whose.
        training: The content of training.json.
    """
    wanted = run.recipe.train.method.model_dump(mode="json")
    kind = str(training.get("method") or wanted["kind"])
    known = files.read_json_if_whole(run.model_dir / "pakar.json") or {}
    found = next((one for one in (known.get("method"), wanted) if one and one.get("kind") == kind), {"kind": kind})
    written = files.read_json_if_whole(run.model_dir / "adapter_config.json") or {}
    found = {**found, "base_dtype": str(known.get("base_dtype", "float32"))}
    return found | {name: written[key] for name, key in _IN_PEFT.items() if kind in ADAPTERS and key in written}


def describe(method: Mapping[str, Any]) -> str:
    """The method in one line; see `settings`."""
    kind = method["kind"]
    if kind not in ADAPTERS:
        return "all weights" if kind == "full" else str(kind)
    if not all(name in method for name in _IN_PEFT):
        return ADAPTERS[kind]
    targets = method["targets"]
    named = targets if isinstance(targets, str) else ", ".join(targets)
    figures = f"rank {method['rank']}, alpha {method['alpha']:g}, dropout {method['dropout']:g}"
    return f"{ADAPTERS[kind]}, {figures}, on {named}"
