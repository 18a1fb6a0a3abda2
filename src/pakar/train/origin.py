"""What a training is made from, and what may change while it is unfinished.

Everything that decides the weights must stay. What only rounds differently, or draws dropout's masks in another order, may change,
and is told. What only looks on
may change unnoticed. Fields that one of two versions of Pakar does not know are not compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from pakar import records, text
from pakar.recipe import Train
from pakar.train.order import Plan

Origin = Mapping[str, str]
"""Name of a recipe field or of an input → its value or fingerprint."""

LOOKING_ON = ("train.checkpoint_every", "train.trackers", "train.validation.answers")
"""Changes nothing in the weights."""
ROUNDING = ("train.compute", "train.launch", "hardware", "code")
"""The same arithmetic in another order or number format: equal but for rounding and other dropout masks. How a lack of memory is mended, too."""
FINGERPRINTS = ("base model", "prompt template", "prepared data", "code")


class Changes(NamedTuple):
    """What is not as it was when the training began, in words.

    Attributes:
        decisive: Leads to other weights.
        rounding: Leads to weights that differ by rounding, and by other dropout masks.
    """

    decisive: list[str]
    rounding: list[str]


def of(section: Train, inputs: Mapping[str, str]) -> Origin:
    """The origin of a training: its recipe section field by field, and fingerprints of what else goes in."""
    fields = {f"train.{name}": value for name, value in _flat(section.model_dump(mode="json"))}
    return {**fields, **inputs, "code": records.code_fingerprint("train")}


def changes(before: Origin, now: Origin) -> Changes:
    """Compare the origin of an unfinished training with what is asked for now."""
    different = [name for name in before if name in now and before[name] != now[name] and not _is(name, LOOKING_ON)]
    told = {name: _told(name, before[name], now[name]) for name in different}
    return Changes(
        [told[name] for name in different if not _is(name, ROUNDING)],
        [told[name] for name in different if _is(name, ROUNDING)],
    )


def unheeded(before: Origin, now: Origin) -> list[str]:
    """Fields of the recipe that are not as they were in a finished training, though that is no reason to train again, in words."""
    fields = sorted(name for name in before if name.startswith("train.") and name in now and before[name] != now[name])
    return [_told(name, before[name], now[name]) for name in fields]


def order_fingerprint(plan: Plan) -> str:
    """Fingerprint of the first epoch's order: another version of Pakar may take examples in another one."""
    steps = plan.epoch(0)
    return text.fingerprint(str([len(step) for step in steps]), str(np.concatenate(steps).tolist()))


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from _flat(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(inner)


def _is(name: str, kinds: tuple[str, ...]) -> bool:
    return any(name == kind or name.startswith(f"{kind}.") for kind in kinds)


def _told(name: str, before: str, now: str) -> str:
    return name if name in FINGERPRINTS else f"{name} ({before} → {now})"
