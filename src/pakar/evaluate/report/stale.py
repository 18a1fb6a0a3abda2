"""Do the finished stages belong together? Each record names what went in; it must be what the stage before last gave out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Records = Mapping[str, Mapping[str, Any]]

_AGAIN = "run `pakar run` again"
_LINKS = (
    ("train", "prepared data", "prepare", "tokens", "The model was trained on earlier data"),
    ("evaluate", "tuned model", "train", "model", "The evaluation was made from an earlier model"),
    ("evaluate", "test split", "prepare", "test", "The evaluation was made from an earlier split"),
)
"""(stage, its input, the stage that makes it, the output there, what it means when they differ)."""


def found(records: Records) -> tuple[str, ...]:
    """What is out of date, a sentence each. What a record does not say is taken to fit."""
    return tuple(
        f"{meaning}: {_AGAIN}."
        for stage, taken, maker, made, meaning in _LINKS
        if records.get(stage) and _differ(records[stage], taken, records.get(maker) or {}, made)
    )


def _differ(user: Mapping[str, Any], taken: str, maker: Mapping[str, Any], made: str) -> bool:
    if not maker:  # the earlier stage has been begun anew
        return True
    before, now = (user.get("inputs") or {}).get(taken), (maker.get("outputs") or {}).get(made)
    return None not in (before, now) and before != now
