from __future__ import annotations

from typing import Any

import pytest

from pakar.evaluate.report import verdict
from pakar.evaluate.report.content import Answer, Comparison, Estimate, Metric, Question, Skipped
from pakar.report.ledger import Count, Ledger


def loss(low: float, high: float, n: int = 12) -> Metric:
    middle = (low + high) / 2
    cells: dict[str, Estimate | Skipped] = {
        "base": Estimate(6.42, 6.1, 6.7, n, "nats per token", higher_is_better=False),
        "tuned": Estimate(6.42 + middle, 2.9, 3.3, n, "nats per token", higher_is_better=False),
    }
    shown = verdict.outcome(low, high, n, higher_is_better=False)
    return Metric("loss", "Loss", "", cells, (Comparison("base", "tuned", middle, low, high, 0.01, shown),), "")


def said(metric: Metric, n: int = 12, noun: str = "questions") -> str:
    return verdict.verdict([metric], n, noun, 0.95).sentence


def test_helped() -> None:
    assert said(loss(-3.64, -3.0)) == (
        "Fine-tuning helped: on 12 test questions it never saw, the tuned model's loss is 3.10 instead of 6.42 "
        "(difference −3.32, 95 % interval −3.64 to −3.00)."
    )


def test_no_difference() -> None:
    sentence = said(loss(-0.4, 0.1))
    assert sentence.startswith("No difference shown: on 12 test questions")
    assert "95 % interval −0.40 to +0.10); the interval includes zero" in sentence


def test_a_better_value_alone_is_no_success() -> None:
    assert loss(-1.0, 0.0).comparisons[0].outcome == "unclear"


def test_worse() -> None:
    assert said(loss(0.2, 0.6)).startswith("Fine-tuning made it worse: on 12 test questions")


def test_one_question_proves_nothing() -> None:
    sentence = said(loss(-3.3, -3.3, n=1), n=1)
    assert sentence.startswith("Too few test questions to tell: on 1 test question it")
    assert "6 is the least" in sentence


def test_texts_are_called_texts() -> None:
    assert "on 12 test texts it never saw" in said(loss(-3.6, -3.0), noun="texts")


def test_not_measured_says_why() -> None:
    skipped: dict[str, Estimate | Skipped] = {"base": Skipped("there are no test examples")}
    assert (
        said(Metric("loss", "Loss", "", skipped, (), ""))
        == "Whether fine-tuning helped was not measured: there are no test examples."
    )
    assert "the evaluation has not finished" in verdict.verdict([], 0, "questions", 0.95).sentence


@pytest.mark.parametrize(
    ("low", "high", "higher_is_better", "outcome"),
    [(1, 2, True, "better"), (1, 2, False, "worse"), (-2, -1, True, "worse"), (-2, -1, False, "better"),
     (1, 2, None, "higher"), (-2, -1, None, "lower"), (-1, 1, True, "unclear"), (0, 0, None, "unclear")],
)  # fmt: skip
def test_outcome_follows_the_interval_and_the_direction(
    low: float, high: float, higher_is_better: bool | None, outcome: str
) -> None:
    assert verdict.outcome(low, high, 50, higher_is_better=higher_is_better) == outcome


def test_the_other_measures_do_not_count_the_loss_twice() -> None:
    other = loss(-3.6, -3.0)
    perplexity = Metric("perplexity", "Perplexity", "", other.systems, other.comparisons, "")
    chrf = Metric("chrf", "chrF", "", other.systems, other.comparisons, "")
    more = verdict.verdict([chrf, perplexity, other], 12, "questions", 0.95).more
    assert more.startswith("Of 1 other measure: 1 better. Figures do not show whether answers are right")


def ledger(**changes: Any) -> Ledger:
    facts: dict[str, Any] = {
        "rows_in": 10, "kept": 7, "rejected": (), "unreadable": 0, "changed": (), "splits": {}, "augmented": 0,
        "groups_crossing": 0, "examples": (), "sources": (),
    }  # fmt: skip
    return Ledger(**{**facts, **changes})


def test_warnings_about_data() -> None:
    found = verdict.warnings(
        "It over-fits.",
        12,
        "questions",
        ledger(unreadable=2, changed=(Count("truncate", 4, ""),), groups_crossing=1),
        [],
    )
    assert found[0] == "It over-fits."
    assert "Only 12 test questions" in found[1]
    assert "could not be read or used: 2." in found[2]
    assert "lost their end: 4." in found[3]
    assert "more than one split: 1." in found[4]


def test_no_warnings_when_all_is_well() -> None:
    assert verdict.warnings(None, 500, "questions", ledger(rejected=(Count("duplicate", 1, ""),)), []) == ()


def test_warnings_about_answers_that_averages_hide() -> None:
    same = [Question(str(n), (), (Answer("reference", "x", 1, None), Answer("tuned", "", 0, n > 1))) for n in range(4)]
    assert verdict.warnings(None, 500, "questions", None, same) == (
        "2 of 4 answers of the tuned model did not end by themselves and were cut off.",
        "4 of 4 answers of the tuned model are empty.",
        "The tuned model repeats itself: 1 different answers to 4 questions.",
    )
