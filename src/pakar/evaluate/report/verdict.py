"""Did it help? Sentences from intervals, never from the two values alone. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pakar.evaluate.report.content import Answer, Comparison, Estimate, Metric, Outcome, Question, Verdict
from pakar.report import wording
from pakar.report.ledger import Ledger

FEWEST = 6
"""Below so many pairs no two-sided sign test can reach p < 0.05 (2 / 2^5 = 0.06), and bootstrap intervals mislead."""
FEW = 30
"""Below so many test questions the reader is told that intervals are wide."""
DECIDING = ("loss", "bits_per_byte", "perplexity", "chrf", "rouge_l")
"""The metric that the verdict rests on: the first of these that was compared."""
LOSS_FAMILY = ("loss", "bits_per_byte", "perplexity")
"""Three ways to write one measurement: they are not counted as evidence for each other."""

_CAUTION = "Figures do not show whether answers are right: read the answers below before you trust them."
_PHRASES: dict[Outcome, str] = {
    "better": "better",
    "worse": "worse",
    "unclear": "without a clear difference",
    "too few": "with too few questions to tell",
    "higher": "higher",
    "lower": "lower",
}


def outcome(low: float, high: float, n: int | None, *, higher_is_better: bool | None) -> Outcome:
    """What the interval of a difference shows about the system that is judged."""
    if n is not None and n < FEWEST:
        return "too few"
    if low <= 0 <= high:
        return "unclear"
    if higher_is_better is None:
        return "higher" if low > 0 else "lower"
    return "better" if (low > 0) == higher_is_better else "worse"


def verdict(
    metrics: Sequence[Metric], questions: int, noun: str, confidence: float, stale: Sequence[str] = ()
) -> Verdict:
    """The report's first sentence; figures that are out of date (`stale` says why) show nothing."""
    if stale:
        return Verdict(None, "Out of date", f"Out of date: whether fine-tuning helped is not known. {stale[0]}", "")
    found = _deciding(metrics)
    if found is None:
        why = _why_not(metrics)
        return Verdict(None, "Not measured", f"Whether fine-tuning helped was not measured: {why}.", "")
    metric, comparison = found
    headline = _headline(comparison)
    sentence = f"{headline}: {_evidence(metric, comparison, wording.count(questions, f'test {noun}'), confidence)}"
    more = [_others(metrics, metric, comparison), _CAUTION if comparison.outcome == "better" else ""]
    return Verdict(comparison.outcome, headline, sentence, " ".join(filter(None, more)))


def _deciding(metrics: Sequence[Metric]) -> tuple[Metric, Comparison] | None:
    """The metric and the comparison that the verdict rests on: tuned against base where both are there."""
    order = {name: place for place, name in enumerate(DECIDING)}
    compared = sorted((m for m in metrics if m.comparisons), key=lambda m: order.get(m.name, len(order)))
    for metric in compared:
        wanted = [c for c in metric.comparisons if (c.reference, c.system) == ("base", "tuned")]
        return metric, (wanted or list(metric.comparisons))[0]
    return None


def _why_not(metrics: Sequence[Metric]) -> str:
    reasons = [m.not_compared for m in metrics if m.not_compared]
    reasons += [cell.why for m in metrics for cell in m.systems.values() if not isinstance(cell, Estimate)]
    return reasons[0].rstrip(".") if reasons else "the evaluation has not finished"


def _headline(comparison: Comparison) -> str:
    subject = "Fine-tuning" if comparison.system == "tuned" else wording.system(comparison.system)
    match comparison.outcome:
        case "better":
            return f"{subject} helped"
        case "worse":
            return f"{subject} made it worse"
        case "too few":
            return "Too few test questions to tell"
        case "higher" | "lower":
            return f"{subject} changed the result"
        case _:
            return "No difference shown"


def _evidence(metric: Metric, comparison: Comparison, tested: str, confidence: float) -> str:
    unit = _unit(metric)
    change, span = wording.difference(comparison.low, comparison.difference, comparison.high, unit)
    name = metric.title if metric.title.isupper() or metric.title == "chrF" else metric.title.lower()
    figures = f"difference {change}, {confidence * 100:.3g} % interval {span}"
    tail = "; the interval includes zero, so chance can explain it" if comparison.outcome == "unclear" else ""
    if comparison.outcome == "too few":
        tail = f"; {FEWEST} is the least for an interval that can be trusted"
    before, after = _values(metric, comparison, unit)
    system = wording.system(comparison.system).lower()
    return f"on {tested} it never saw, the {system}'s {name} is {after} instead of {before} ({figures}){tail}."


def _values(metric: Metric, comparison: Comparison, unit: str) -> tuple[str, str]:
    cells = [metric.systems.get(name) for name in (comparison.reference, comparison.system)]
    known = [cell.value for cell in cells if isinstance(cell, Estimate)]
    shown = iter(wording.figures(known, unit))
    before, after = (next(shown) if isinstance(cell, Estimate) else "not measured" for cell in cells)
    return before, after


def _unit(metric: Metric) -> str:
    return next((cell.unit for cell in metric.systems.values() if isinstance(cell, Estimate)), "")


def _others(metrics: Sequence[Metric], deciding: Metric, comparison: Comparison) -> str:
    """How the remaining metrics came out, in one sentence; with many of them one or two may differ by chance."""
    pair = (comparison.reference, comparison.system)
    counted_already = LOSS_FAMILY if deciding.name in LOSS_FAMILY else (deciding.name,)
    others = [
        c.outcome
        for m in metrics
        if m.name not in counted_already
        for c in m.comparisons
        if (c.reference, c.system) == pair
    ]
    if not others:
        return ""
    counted = [f"{others.count(kind)} {phrase}" for kind, phrase in _PHRASES.items() if kind in others]
    return f"Of {wording.count(len(others), 'other measures')}: {', '.join(counted)}."


def warnings(
    training_warning: str | None, tested: int | None, noun: str, ledger: Ledger | None, questions: Iterable[Question]
) -> tuple[str, ...]:
    """What a reader must know before trusting the figures."""
    found = [training_warning] if training_warning else []
    if tested is not None and tested < FEW:
        found.append(
            f"Only {wording.count(tested, f'test {noun}')}: the intervals are wide, and other {noun} could differ."
        )
    if ledger:
        found += _data_warnings(ledger)
    return (*found, *_answer_warnings(list(questions)))


def cut_prompts(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """A warning when questions were too long to be read whole."""
    count = settings.get("prompts_cut") or 0
    return (
        (f"Questions too long for the model's context, answered without their beginning: {count:,}.",) if count else ()
    )


def _data_warnings(ledger: Ledger) -> list[str]:
    found = []
    if ledger.unreadable:
        found.append(
            f"Rows that could not be read or used: {ledger.unreadable:,}. They are missing from everything below."
        )
    cut = next((c.rows for c in ledger.changed if c.name == "truncate"), 0)
    if cut:
        found.append(f"Rows that were longer than the model's context and lost their end: {cut:,}.")
    if ledger.groups_crossing:
        found.append(
            f"Questions that stand in more than one split: {ledger.groups_crossing:,}. The test figures are too good."
        )
    return found


def _answer_warnings(questions: list[Question]) -> list[str]:
    found = []
    for system in dict.fromkeys(a.system for q in questions for a in q.answers if a.ended is not None):
        answers = [a for q in questions for a in q.answers if a.system == system]
        if system != "base":
            found += _about(system, answers)
    return found


def _about(system: str, answers: list[Answer]) -> list[str]:
    """Faults that averages hide: answers that never end, say nothing, or are always the same."""
    name, total, found = wording.system(system).lower(), len(answers), []
    cut = sum(a.ended is False for a in answers)
    empty = sum(not a.words for a in answers)
    different = len({a.text for a in answers})
    if cut > 0.2 * total:
        found.append(f"{cut} of {total} answers of the {name} did not end by themselves and were cut off.")
    if empty:
        found.append(f"{empty} of {total} answers of the {name} are empty.")
    if total >= 4 and different <= total / 2:
        found.append(f"The {name} repeats itself: {different} different answers to {total} questions.")
    return found
