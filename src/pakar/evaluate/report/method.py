"""How the model was trained, in words: what training has written counts, and not what the recipe says by now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pakar import files
from pakar.recipe import Lora
from pakar.run import Run


def describe(run: Run, training: Mapping[str, Any]) -> str:
    """The method of the tuned model, of the recipe's where none is trained yet."""
    wanted = run.recipe.train.method
    kind = str(training.get("method") or wanted.kind)
    if kind != "lora":
        return "all weights" if kind == "full" else kind
    written = files.read_json_if_whole(run.model_dir / "adapter_config.json")
    if written is not None:
        figures = [written.get(name) for name in ("r", "lora_alpha", "lora_dropout", "target_modules")]
        return _lora(*figures) if None not in figures else "LoRA"
    return _lora(wanted.rank, wanted.alpha, wanted.dropout, wanted.targets) if isinstance(wanted, Lora) else "LoRA"


def _lora(rank: Any, alpha: Any, dropout: Any, targets: Any) -> str:
    named = targets if isinstance(targets, str) else ", ".join(targets)
    return f"LoRA, rank {rank}, alpha {alpha:g}, dropout {dropout:g}, on {named}"
