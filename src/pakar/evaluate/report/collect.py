"""Run directory → Report. Whatever a stage has not written is left empty, and said so."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pakar import files, recipe_file
from pakar.evaluate.report import answers, course, method, stale, verdict
from pakar.evaluate.report.content import Comparison, Estimate, LossCurve, Metric, Question, Report, Skipped
from pakar.records import StageName
from pakar.report import ledger, wording
from pakar.run import Run

MOST_POINTS = 400
"""Points of the loss curve that are kept; a picture shows no more."""

_LIMITS = (
    "The figures hold for what is like this data. Other questions, other people and other languages were not tested.",
    "The loss tells how well the model predicts the reference. It does not tell whether an answer is true or helpful.",
    "Overlap measures count shared letters. A good answer in other words scores low; a harmful one can score high.",
    "Safety was not measured here. Test it before the model is put before people, and let a person watch over it.",
    "The model is no doctor, therapist or lawyer. Its answers are no advice and must not be used in an emergency.",
)
_STARTER_LIMIT = "The bundled starter model is tiny. It shows how the program works; its answers are often wrong."
_SMALL_LIMIT = (
    "The test set is small: a difference that is not shown may still exist, and sizes are only roughly known."
)


class _Measured(NamedTuple):
    """What the evaluation has written; its own settings count, and not what the recipe says by now."""

    metrics: tuple[Metric, ...]
    systems: tuple[str, ...]
    questions: list[Question]
    settings: dict[str, Any]
    confidence: float
    target_words: tuple[int, int]
    tested: int | None


def collect(run: Run) -> Report:
    """Read everything that the finished stages of a run have written."""
    found = _measured(run)
    training, provenance = _json(run.training_file), _json(run.directory / "run.json")
    books, statistics = ledger.read(run), dict(_json(run.statistics_file).get("columns", {}))
    noun, trained_by = _noun(statistics), method.settings(run, training)
    records: dict[str, dict[str, Any]] = {stage: _record(run, stage) for stage in run.stages}
    old = stale.found(records) if found.metrics else ()
    warnings = verdict.warnings(training.get("warning"), found.tested, noun, books, found.questions)
    return Report(
        name=run.recipe.name,
        noun=noun,
        verdict=verdict.verdict(found.metrics, found.tested or 0, noun, found.confidence, old),
        warnings=(*old, *_unfinished(records), *warnings, *verdict.cut_prompts(found.settings)),
        metrics=found.metrics,
        systems=found.systems,
        confidence=found.confidence,
        questions=tuple(answers.shortened(question) for question in found.questions[: answers.MOST_SHOWN]),
        answers_in_all=len(found.questions),
        max_answer_tokens=run.recipe.evaluate.sampling.max_tokens,
        lengths=answers.lengths(found.questions, found.target_words),
        target_words=found.target_words,
        ledger=books,
        statistics=statistics,
        loss_curve=_loss_curve(run, training),
        training=training,
        course=course.course(training, files.read_json_lines(run.train_metrics_file)),
        method=method.describe(trained_by),
        method_settings=trained_by,
        seconds={stage: float(record["seconds"]) for stage, record in records.items() if "seconds" in record},
        fingerprints=_fingerprints(records),
        base=_base(run),
        provenance=provenance,
        command=shlex.join(str(word) for word in provenance.get("command", ["pakar", "run", "recipe.yaml"])),
        recipe=_recipe_text(run),
        settings=found.settings,
        limits=_limits(run, found.tested),
    )


def _measured(run: Run) -> _Measured:
    measured, section = _json(run.metrics_file), run.recipe.evaluate
    metrics, settings = _metrics(measured), dict(measured.get("settings") or {})
    systems = tuple(dict.fromkeys(name for metric in metrics for name in metric.systems))
    confidence = float(settings.get("confidence") or section.confidence)
    shortest, longest = settings.get("target_words") or section.target_words
    questions, tested = answers.questions(run, systems), _tested(metrics, settings)
    return _Measured(metrics, systems, questions, settings, confidence, (shortest, longest), tested)


def _json(path: Path) -> dict[str, Any]:
    """The object in a file; empty if the stage that writes it has not finished."""
    return dict(files.read_json(path)) if path.exists() else {}


def _record(run: Run, stage: StageName) -> dict[str, Any]:
    """A stage's record; empty if it has not finished, or the record cannot be read."""
    return files.read_json_if_whole(run.stage_dir(stage) / "stage.json") or {}


def _noun(statistics: Mapping[str, Any]) -> str:
    """What the rows are: running text has no questions."""
    if "text" not in statistics:
        return "questions"
    return "examples" if "question" in statistics else "texts"


def _tested(metrics: tuple[Metric, ...], settings: Mapping[str, Any]) -> int | None:
    """Size of the test split that was measured on, whatever preparation gives now; None if nothing was measured."""
    measured = [
        cell.n
        for metric in metrics
        for cell in metric.systems.values()
        if isinstance(cell, Estimate) and cell.n is not None
    ]
    if not measured:
        return None
    return int(settings.get("test_examples") or max(measured))


def _unfinished(records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        f"The stage “{stage}” has not finished: its figures are missing or old."
        for stage, record in records.items()
        if not record
    ]


def _metrics(measured: Mapping[str, Any]) -> tuple[Metric, ...]:
    """One row per metric, in the order in which the evaluation wrote them."""
    systems: Mapping[str, Mapping[str, Any]] = measured.get("systems") or {}
    groups = (measured.get("settings") or {}).get("groups")
    names = dict.fromkeys(name for values in systems.values() for name in values)
    found = []
    for name in names:
        cells = {system: _cell(values.get(name)) for system, values in systems.items()}
        rows = [row for row in measured.get("comparisons") or [] if row.get("metric") == name]
        compared = tuple(one for row in rows if (one := _comparison(row, cells, groups)))
        why = next((str(row["skipped"]) for row in rows if row.get("skipped")), "")
        found.append(Metric(name, *wording.metric(name), systems=cells, comparisons=compared, not_compared=why))
    return tuple(found)


def _cell(value: Mapping[str, Any] | None) -> Estimate | Skipped:
    if value is None:
        return Skipped("not given for this system")
    if value.get("value") is None:
        return Skipped(str(value.get("skipped") or "no reason given"))
    unit = str(value.get("unit") or "")
    low, high = (None, None) if value.get("interval") else (value.get("low"), value.get("high"))
    return Estimate(value["value"], low, high, value.get("n"), unit, value.get("higher_is_better"))


def _comparison(
    row: Mapping[str, Any], cells: Mapping[str, Estimate | Skipped], groups: int | None
) -> Comparison | None:
    """The difference b - a, as the evaluation writes it; None if it was skipped."""
    before, after = cells.get(row["a"]), cells.get(row["b"])
    if row.get("difference") is None or not isinstance(before, Estimate) or not isinstance(after, Estimate):
        return None
    counted = min((n for n in (before.n, after.n, groups) if n is not None), default=None)
    shown = verdict.outcome(row["low"], row["high"], counted, higher_is_better=after.higher_is_better)
    return Comparison(row["a"], row["b"], row["difference"], row["low"], row["high"], row.get("p"), shown)


def _loss_curve(run: Run, training: Mapping[str, Any]) -> LossCurve | None:
    """Losses by step. Steps that were taken twice, after an interruption, count as they came out last."""
    steps = {int(row["step"]): row for row in files.read_json_lines(run.train_metrics_file)}
    ordered = [steps[step] for step in sorted(steps)]
    train = _points(ordered, "loss")
    validation = _points(ordered, "validation_loss")
    # Of the untrained model; no optimizer step belongs to it.
    untrained = _points([{"step": 0, **training}], "first_validation_loss")
    if untrained and (not validation or validation[0][0] > 0):
        validation = [*untrained, *validation]
    if not train and not validation:
        return None
    best = next((point for point in validation if point[0] == training.get("best_step")), None)
    return LossCurve(_thinned(train), _thinned(_smoothed(train)), _thinned(validation), best)


def _points(ordered: list[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    return [
        (int(row["step"]), float(row[name]))
        for row in ordered
        if isinstance(row.get(name), int | float) and math.isfinite(row[name])
    ]


def _smoothed(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Mean of each point and its neighbours, over about a fifteenth of the curve: the trend without the noise."""
    reach = max(1, len(points) // 30)
    # Near the ends the span shrinks on both sides: a lopsided one would bend the steep beginning.
    spans = [
        points[place - r : place + r + 1]
        for place in range(len(points))
        for r in [min(reach, place, len(points) - 1 - place)]
    ]
    return [(points[place][0], math.fsum(loss for _, loss in span) / len(span)) for place, span in enumerate(spans)]


def _thinned(points: list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """At most about MOST_POINTS points, evenly picked; the last one always stays."""
    every = max(1, math.ceil(len(points) / MOST_POINTS))
    return tuple(point for place, point in enumerate(points) if place % every == 0 or place == len(points) - 1)


def _base(run: Run) -> str:
    """Name of the base model; of a local directory only its own name, since a report is passed on."""
    base = run.recipe.model.base
    return Path(base).name if Path(base).is_absolute() else base


def _fingerprints(records: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[str, str, str, str], ...]:
    ends = (("in", "inputs"), ("out", "outputs"))
    return tuple(
        (stage, end, name, str(value))
        for stage, record in records.items()
        for end, key in ends
        for name, value in record.get(key, {}).items()
    )


def _recipe_text(run: Run) -> str:
    """The recipe with paths as seen from the run directory: valid beside the report, without home folders' names."""
    here = run.directory.resolve()
    recipe = run.recipe
    sources = tuple(s.model_copy(update={"path": _relative(s.path, here)}) for s in recipe.prepare.sources)
    base = _relative(recipe.model.base, here)
    model, prepare = (
        recipe.model.model_copy(update={"base": base}),
        recipe.prepare.model_copy(update={"sources": sources}),
    )
    return recipe_file.dump(recipe.model_copy(update={"model": model, "prepare": prepare}))


def _relative(path: str, here: Path) -> str:
    return Path(os.path.relpath(path, here)).as_posix() if Path(path).is_absolute() else path


def _limits(run: Run, tested: int | None) -> tuple[str, ...]:
    starter = (_STARTER_LIMIT,) if run.recipe.model.base == "starter" else ()
    small = (_SMALL_LIMIT,) if tested is not None and tested < verdict.FEW * 10 else ()
    return (*starter, *small, *_LIMITS)
