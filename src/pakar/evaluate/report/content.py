"""What a report says, as values: no files, no HTML. `collect` fills them, the templates and `report.json` show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pakar.report.ledger import Ledger

Outcome = Literal["better", "worse", "higher", "lower", "unclear", "too few"]
"""What an interval shows. `higher`, `lower`: it differs, but neither is better. `too few`: too few questions."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One measured figure with its interval.

    Attributes:
        value: In `unit`; shares are between 0 and 1.
        low: Lower end of the interval; None if it has none.
        high: Upper end.
        n: Questions or texts behind it.
        unit: As the metric gives it, may be empty.
        higher_is_better: None when neither direction is better in itself.
    """

    value: float
    low: float | None
    high: float | None
    n: int | None
    unit: str
    higher_is_better: bool | None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A figure that was not measured, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """How one system differs from another in one metric, on the same questions.

    Attributes:
        reference: The system compared with.
        system: The system that is judged.
        difference: Value of `system` minus value of `reference`.
        low: Lower end of the interval of the difference.
        high: Upper end.
        p: p value of the paired test; None if there is none.
        outcome: What the interval shows about `system`.
    """

    reference: str
    system: str
    difference: float
    low: float
    high: float
    p: float | None
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the before/after table; `not_compared` says why there are no comparisons, if anything says it."""

    name: str
    title: str
    explanation: str
    systems: dict[str, Estimate | Skipped]
    comparisons: tuple[Comparison, ...]
    not_compared: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to "did it help?" in one sentence, and what the other metrics say in a second one."""

    outcome: Outcome | None
    headline: str
    sentence: str
    more: str


@dataclass(frozen=True, slots=True)
class LossCurve:
    """Losses over optimizer steps, thinned out to what a picture can show."""

    train: tuple[tuple[int, float], ...]
    smoothed: tuple[tuple[int, float], ...]
    validation: tuple[tuple[int, float], ...]
    best: tuple[int, float] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of one system.

    Attributes:
        system: Who answers; `reference` for the answer that the data gives.
        text: Shortened if it is very long.
        words: Of the whole answer.
        ended: Whether it ended by itself; None for the reference.
    """

    system: str
    text: str
    words: int
    ended: bool | None


@dataclass(frozen=True, slots=True)
class Question:
    """One test question with all its answers."""

    id: str
    turns: tuple[tuple[str, str], ...]
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Words per answer of one system."""

    system: str
    words: tuple[int, ...]
    median: float
    in_target: float


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a report says. A part that the run has not got is None or empty.

    Attributes:
        noun: What the test split holds: questions, texts or examples.
        training: The content of training.json.
        course: What training needed and how it was computed, as (name, value).
        method: In words; `method_settings` holds its values.
        statistics: Column → unit → figures, as in statistics.json.
        seconds: Stage → seconds it took.
        fingerprints: (stage, in or out, name, value).
        provenance: The content of run.json.
        recipe: The recipe as YAML, its paths as seen from the run directory.
        limits: What these figures do not show, a sentence each.
    """

    name: str
    noun: str
    verdict: Verdict
    warnings: tuple[str, ...]
    metrics: tuple[Metric, ...]
    systems: tuple[str, ...]
    confidence: float
    questions: tuple[Question, ...]
    answers_in_all: int
    max_answer_tokens: int
    lengths: tuple[Lengths, ...]
    target_words: tuple[int, int]
    ledger: Ledger | None
    statistics: dict[str, dict[str, dict[str, Any]]]
    loss_curve: LossCurve | None
    training: dict[str, Any]
    course: tuple[tuple[str, str], ...]
    method: str
    method_settings: dict[str, Any]
    seconds: dict[str, float]
    fingerprints: tuple[tuple[str, str, str, str], ...]
    base: str
    provenance: dict[str, Any]
    command: str
    recipe: str
    settings: dict[str, Any]
    limits: tuple[str, ...]
