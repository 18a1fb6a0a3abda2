"""From scores to metrics.json: every metric of every system with its interval, and every system against the first.

Nothing is NaN and nothing is dropped: what cannot be given says `{"skipped": why}`. With fewer than two groups there is
a value but no interval; then `low` and `high` repeat the value, and the key `interval` says why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pakar import metrics
from pakar.evaluate import intervals
from pakar.evaluate.intervals import Floats
from pakar.evaluate.scores import Score
from pakar.metrics import length, overlap
from pakar.metrics.metric import Metric
from pakar.recipe import Evaluate

ONE_GROUP = "the test split holds one question or text only; an interval needs at least two questions or texts"
NOT_FINITE = "the value is not a finite number"


class _Terms(NamedTuple):
    """What a metric adds up, by the number of the example: its group and (numerator, denominator)."""

    groups: dict[int, str]
    fractions: dict[int, tuple[float, float]]


def summarise(scores: Mapping[str, Sequence[Score]], section: Evaluate, seed: int) -> dict[str, Any]:
    """The `systems` and `comparisons` of metrics.json.

    Args:
        scores: System → its scores, the same examples in the same order. All others are compared with the first.
        section: Says the level of the intervals and the number of resamples.
        seed: Fixes the resamples.
    """
    first, *others = scores
    return {
        "systems": {
            name: {metric.name: _measured(metric, rows, section, seed) for metric in metrics.ALL}
            for name, rows in scores.items()
        },
        "comparisons": [
            {"a": first, "b": other, "metric": metric.name}
            | _compared(metric, (scores[first], scores[other]), section, seed)
            for other in others
            for metric in metrics.ALL
        ],
    }


def settings(scores: Mapping[str, Sequence[Score]], section: Evaluate, seed: int) -> dict[str, Any]:
    """What a reader needs to know to repeat the figures; `stage` adds what depends on the models."""
    examples = next(iter(scores.values()))
    truncated = {row.id for rows in scores.values() for row in rows if row.columns["truncated"]}
    unscored = {row.id for rows in scores.values() for row in rows if row.columns["nll"] is None}
    return {
        "confidence": section.confidence,
        "resamples": section.resamples,
        "seed": seed,
        "intervals": "percentile bootstrap over groups (examples with the same question); Wilson score for shares of 0 or 1",
        "comparisons": "difference = b - a, paired: both systems on the same resampled groups",
        "likelihood": "supervised tokens only, end-of-turn token included; it adds nats and a token, but no bytes; "
        "plain text in windows of the context, without the first token of each",
        "chrf": overlap.chrf_signature(),
        "rouge_l": overlap.ROUGE_L_DEFINITION,
        "words": length.WORD_DEFINITION,
        "target_words": list(section.target_words),
        "sampling": section.sampling.model_dump(mode="json"),
        "test_examples": len(examples),
        "groups": len({row.group for row in examples}),
        "truncated": len(truncated),
        "unscored": len(unscored),
    }


def _measured(metric: Metric, rows: Sequence[Score], section: Evaluate, seed: int) -> dict[str, Any]:
    terms = _terms(metric, rows)
    if isinstance(terms, str):
        return {"skipped": terms}
    fractions = np.array(list(terms.fractions.values()))  # N 2
    value = float(_values(metric, fractions.sum(axis=0)))
    sums = intervals.group_sums(list(terms.groups.values()), fractions)  # G 2
    low = high = value
    if len(sums) > 1:
        resampled = intervals.resampled_sums(sums, section.resamples, seed)  # B 2
        low, high = intervals.percentile(_values(metric, resampled), section.confidence)
        if metric.unit == "share" and value in (0, 1):  # equal values have no spread, yet they prove no certainty
            low, high = intervals.wilson(value, len(sums), section.confidence)
    if not all(map(math.isfinite, (value, low, high))):
        return {"skipped": NOT_FINITE}
    result = {"value": value, "low": low, "high": high, "n": len(fractions)}
    unknown = {"interval": f"skipped: {ONE_GROUP}"} if len(sums) < 2 else {}
    return {**result, "unit": metric.unit, "higher_is_better": metric.higher_is_better, **unknown}


def _compared(
    metric: Metric, pair: tuple[Sequence[Score], Sequence[Score]], section: Evaluate, seed: int
) -> dict[str, Any]:
    """The second system minus the first, on the examples that both have."""
    a, b = _terms(metric, pair[0]), _terms(metric, pair[1])
    if isinstance(a, str) or isinstance(b, str):
        return {"skipped": a if isinstance(a, str) else b}
    both = [number for number in a.groups if number in b.groups]
    fractions = np.array([a.fractions[number] + b.fractions[number] for number in both]).reshape(len(both), 4)
    sums = intervals.group_sums([a.groups[number] for number in both], fractions)  # G 4
    if len(sums) < 2:
        return {"skipped": ONE_GROUP if both else "the systems have no scored example in common"}
    difference = float(_differences(metric, fractions.sum(axis=0)))
    resampled = _differences(metric, intervals.resampled_sums(sums, section.resamples, seed))  # B
    low, high = intervals.percentile(resampled, section.confidence)
    if not all(map(math.isfinite, (difference, low, high))):
        return {"skipped": NOT_FINITE}
    return {"difference": difference, "low": low, "high": high, "p": intervals.p_value(resampled)}


def _terms(metric: Metric, rows: Sequence[Score]) -> _Terms | str:
    """What goes into a metric, or why it cannot be given."""
    if not rows:
        return "there are no test examples"
    terms = _Terms({}, {})
    unknown = 0
    for number, row in enumerate(rows):
        above, below = row.columns.get(metric.column), row.columns.get(metric.per) if metric.per else 1
        if above is not None and below:
            terms.groups[number], terms.fractions[number] = row.group, (float(above), float(below))
        unknown += above is None and metric.column in row.columns and bool(below)
    if unknown and metric.per:
        return f"{unknown} of {len(rows)} examples have a likelihood that is not a finite number"
    if not terms.groups:
        answered = metric.column in metrics.ANSWER_COLUMNS
        return "no answers were generated" if answered else "no part of any reference answer fits into the context"
    return terms


def _values(metric: Metric, fractions: Floats) -> Floats:
    """Numerators and denominators [… 2] → values […]."""
    return metric.finish(fractions[..., 0] / fractions[..., 1])


def _differences(metric: Metric, fractions: Floats) -> Floats:
    """Fractions of both systems [… 4] → second minus first […]. Infinities cancel to NaN, which the caller skips."""
    with np.errstate(invalid="ignore"):
        return _values(metric, fractions[..., 2:]) - _values(metric, fractions[..., :2])
