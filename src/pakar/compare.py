"""What two runs were made from, and what of it differs: the answer to "the same seed, and another result?"."""

from __future__ import annotations

from typing import Any, NamedTuple

from pakar.records import STAGES, flattened, read_record
from pakar.run import Run

MADE_FROM = ("base", "versions", "git", "hardware")
"""Parts of run.json that can decide a result; times, names and commands cannot."""


class Difference(NamedTuple):
    """One thing that is not the same.

    Attributes:
        name: Dotted, such as `recipe.train.learning_rate`, `versions.torch` or `prepare.inputs.data`.
        first: In the first run; None: not there.
        second: In the second run.
    """

    name: str
    first: Any
    second: Any


def compare(first: Run, second: Run) -> list[Difference]:
    """Everything that differs between two runs, in the order in which it comes to bear: recipe, machine, stages.

    Of a stage, `inputs` tell whether it began from the same (data, recipe, template, code), `outputs` whether it made the same.
    """
    one, other = _facts(first), _facts(second)
    return [
        Difference(name, one.get(name), other.get(name))
        for name in dict.fromkeys([*one, *other])
        if one.get(name) != other.get(name)
    ]


def _facts(run: Run) -> dict[str, Any]:
    known = run.provenance
    recipe = run.recipe.model_dump(mode="json", exclude={"name"})
    facts: dict[str, Any] = {"recipe": recipe, **{name: known.get(name) for name in MADE_FROM}}
    for stage in STAGES:
        record = read_record(run.stage_dir(stage) / "stage.json")
        facts[stage] = {name: record[name] for name in ("inputs", "outputs")} if record else "unfinished"
    return dict(flattened(facts))
