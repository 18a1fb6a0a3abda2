"""What a training needed and how it was computed, as lines for the report and the model card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pakar.report import wording


def course(training: Mapping[str, Any], steps: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    """(Name, value) of each fact that is known.

    Args:
        training: The content of training.json.
        steps: The content of metrics.jsonl.
    """
    rows = list(steps)
    found = [
        ("Validation tokens predicted right", _accuracy(training, rows)),
        ("Answers that ended by themselves", _endings(training)),
        ("Most memory", _memory(rows)),
        ("Computed", ", ".join(_computed(training))),
    ]
    return tuple((name, value) for name, value in found if value)


def _accuracy(training: Mapping[str, Any], rows: list[Mapping[str, Any]]) -> str:
    """Of the step that was kept; a step that was taken twice counts as it came out last."""
    kept = [row.get("validation_token_accuracy") for row in rows if row.get("step") == training.get("best_step")]
    return wording.figure(kept[-1], "share") if kept and kept[-1] is not None else ""


def _endings(training: Mapping[str, Any]) -> str:
    stopping = training.get("stopping") or {}
    if not stopping.get("answers"):
        return ""
    return f"{stopping['ended']} of {stopping['answers']}, greedily, to validation questions"


def _memory(rows: list[Mapping[str, Any]]) -> str:
    most = max((row.get("memory_bytes") or 0 for row in rows), default=0)
    return f"{most / 2**30:.2g} GiB" if most else ""


def _computed(training: Mapping[str, Any]) -> list[str]:
    settled, processes = training.get("settled") or {}, training.get("processes", 1)
    spread = ", the model spread over them" if training.get("sharding") == "full" else ""
    words = [f"in {training['precision']}" if training.get("precision") else ""]
    words += [f"by {processes} processes{spread}" if processes > 1 else ""]
    if settled:
        words += ["several examples in a row" if settled.get("packed") else "an example in a row"]
        words += [
            f"at most {settled['micro_batch_tokens']:,} tokens at once" if settled.get("micro_batch_tokens") else ""
        ]
        words += ["activations computed twice" if settled.get("gradient_checkpointing") else ""]
        words += ["compiled" if settled.get("compiled") else ""]
    return [word for word in words if word]
