"""What two runs were made from, what of it differs, and how their results do: "the same seed, and another result?"."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple, get_args

from pakar import files
from pakar.records import StageName, flattened, read_record
from pakar.report import wording
from pakar.run import Run

MADE_FROM = ("base", "versions", "git", "hardware")
"""Parts of run.json that can decide a result; times, names and commands cannot."""

_GROUPS = {
    "recipe": "Recipe", "base": "Base model", "hardware": "Machine", "versions": "Machine", "git": "Program", "code": "Program",
    "inputs": "Data and what else went in", "outputs": "What came out",
}  # fmt: skip
_FINGERPRINT = re.compile(r"[0-9a-f]{40,64}")
_SHOWN = 8
"""Digits of a fingerprint that people are shown; enough to see that two are not the same."""
_LONGEST = 60
_TEST_SPLIT = "evaluate.inputs.test split"


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

    @property
    def group(self) -> str:
        """Which part of the comparison it belongs to."""
        parts = self.name.split(".")
        inner = parts[1] if parts[0] in get_args(StageName) and len(parts) > 1 else parts[0]
        return _GROUPS["code" if parts[-1] == "code" else inner] if inner in _GROUPS else "Stages"


class Result(NamedTuple):
    """One metric of the tuned models of both runs; None where a run has not measured it."""

    name: str
    first: Mapping[str, Any] | None
    second: Mapping[str, Any] | None


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


def results(first: Run, second: Run) -> list[Result]:
    """The metrics of both tuned models, in the order of the evaluation."""
    one, other = _metrics(first), _metrics(second)
    return [Result(name, one.get(name), other.get(name)) for name in dict.fromkeys([*one, *other])]


def as_json(first: Run, second: Run) -> dict[str, Any]:
    """For `--json`: whole fingerprints, names as in the files."""
    return {
        "differences": [one._asdict() for one in compare(first, second)],
        "results": [one._asdict() for one in results(first, second)],
    }


def described(first: Run, second: Run) -> str:
    """For the terminal: what differs, group by group, and the results of both."""
    return "\n".join([*_differences(compare(first, second)), "", *_results(first, second)])


def _differences(found: list[Difference]) -> Iterator[str]:
    if not found:
        yield "Both runs were made from the same, by the same, and came out the same."
    places = list(dict.fromkeys(one.group for one in found))
    for group, members in groupby(sorted(found, key=lambda one: places.index(one.group)), key=lambda one: one.group):
        yield group
        for one in members:
            yield f"  {_named(one.name)}: {_shown(one.first)} → {_shown(one.second)}"


def _results(first: Run, second: Run) -> Iterator[str]:
    """A line a metric. Intervals of two runs say nothing about their difference, which is not tested here."""
    found = results(first, second)
    if not found:
        yield "Neither run has been evaluated, so there are no results to compare."
        return
    yield f"Results of the tuned models, with their intervals: {first.recipe.name} → {second.recipe.name}"
    for one in found:
        yield f"  {wording.metric(one.name).title}: {_measured(one.first)} → {_measured(one.second)}"
    if any(one.name == _TEST_SPLIT for one in compare(first, second)):
        yield "  Their test splits differ, so these figures are not about the same questions."


def _facts(run: Run) -> dict[str, Any]:
    known = run.provenance
    recipe = run.recipe.model_dump(mode="json", exclude={"name"})
    facts: dict[str, Any] = {"recipe": recipe, **{name: known.get(name) for name in MADE_FROM}}
    for stage in run.stages:
        record = read_record(run.stage_dir(stage) / "stage.json")
        facts[stage] = {name: record[name] for name in ("inputs", "outputs")} if record else "unfinished"
    return dict(flattened(facts))


def _metrics(run: Run) -> Mapping[str, Any]:
    finished = read_record(run.stage_dir("evaluate") / "stage.json") is not None
    known = files.read_json_if_whole(run.metrics_file) if finished else None
    found: Mapping[str, Any] = (known or {}).get("systems", {}).get("tuned", {})
    return found


def _named(name: str) -> str:
    """Without the group's own name before it; recipe keys stay as `--set` takes them."""
    parts = name.split(".")
    if parts[0] in get_args(StageName) and len(parts) > 2:
        return f"{parts[0]}: {' '.join(parts[2:]).replace('_', ' ')}"
    return ".".join(parts[1:]) or name


def _shown(value: Any) -> str:
    if value is None:
        return "not there"
    if isinstance(value, str):
        return value[:_SHOWN] if _FINGERPRINT.fullmatch(value) else value
    words = json.dumps(value, ensure_ascii=False)
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}…"


def _measured(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return "not measured"
    if "skipped" in cell:
        return f"not measured ({cell['skipped']})"
    low, middle, high = wording.figures([cell["low"], cell["value"], cell["high"]], cell["unit"])
    return f"{middle} ({low.removesuffix(' %')} to {high})"
