from __future__ import annotations

import json
import math
from typing import Any

import pytest

from pakar.evaluate import summary
from pakar.evaluate.scores import Score
from pakar.recipe import Evaluate

SECTION = Evaluate(resamples=200)
TWO: list[tuple[float | None, int]] = [(10.0, 1), (10.0, 9)]


def rows(nats: list[tuple[float | None, int]], groups: str = "", **columns: float) -> list[Score]:
    return [
        Score(
            str(n),
            groups[n : n + 1] or str(n),
            {"nll": nll, "tokens": tokens, "bytes": 2 * tokens, "truncated": 0, **columns},
        )
        for n, (nll, tokens) in enumerate(nats)
    ]


def metric(scores: list[Score], name: str) -> dict[str, Any]:
    found: dict[str, Any] = summary.summarise({"base": scores}, SECTION, seed=1)["systems"]["base"][name]
    return found


def test_perplexity_is_of_all_tokens_and_not_a_mean_over_texts() -> None:
    assert metric(rows(TWO), "loss")["value"] == pytest.approx(20 / 10)
    assert metric(rows(TWO), "perplexity")["value"] == pytest.approx(math.exp(20 / 10))
    assert metric(rows(TWO), "perplexity")["value"] != pytest.approx((math.exp(10) + math.exp(10 / 9)) / 2)


def test_bits_per_byte() -> None:
    assert metric(rows(TWO), "bits_per_byte")["value"] == pytest.approx(20 / 20 / math.log(2))


def test_the_shape_of_a_metric() -> None:
    found = metric(rows(TWO), "loss")
    assert set(found) == {"value", "low", "high", "n", "unit", "higher_is_better"}
    assert (found["n"], found["unit"], found["higher_is_better"]) == (2, "nats per token", False)
    assert found["low"] <= found["value"] <= found["high"]


def test_one_question_only_has_a_value_and_says_why_it_has_no_interval() -> None:
    found = metric(rows(TWO, groups="aa"), "loss")
    assert found["low"] == found["value"] == found["high"]
    assert "at least two questions" in found["interval"]
    (first, *_) = summary.summarise({"base": rows(TWO, "aa"), "tuned": rows(TWO, "aa")}, SECTION, 1)["comparisons"]
    assert first == {"a": "base", "b": "tuned", "metric": "loss", "skipped": summary.ONE_GROUP}


def test_what_cannot_be_given_says_why() -> None:
    assert metric([], "loss") == {"skipped": "there are no test examples"}
    assert metric(rows(TWO), "chrf") == {"skipped": "no answers were generated"}
    assert metric(rows([(None, 0)]), "loss") == {"skipped": "no part of any reference answer fits into the context"}
    assert "1 of 2 examples" in metric(rows([(None, 3), (1.0, 1)]), "loss")["skipped"]
    assert metric(rows([(9e5, 1), (9e5, 1)]), "perplexity") == {"skipped": summary.NOT_FINITE}


def test_an_example_without_a_scored_token_is_left_out_of_n() -> None:
    assert metric(rows([*TWO, (None, 0)]), "loss")["n"] == 2


def test_a_difference_is_the_second_minus_the_first_on_the_same_draws() -> None:
    base = rows([(float(n), 1) for n in range(40)], chrf=10.0)
    tuned = rows([(n - 0.5, 1) for n in range(40)], chrf=10.0)
    found = {c["metric"]: c for c in summary.summarise({"base": base, "tuned": tuned}, SECTION, 1)["comparisons"]}
    loss = found["loss"]
    assert (loss["a"], loss["b"]) == ("base", "tuned")
    assert [loss[key] for key in ("difference", "low", "high")] == pytest.approx([-0.5] * 3)
    assert loss["p"] < 0.05
    assert (found["chrf"]["difference"], found["chrf"]["p"]) == (0, 1)
    assert found["empty"]["skipped"] == "no answers were generated"


@pytest.mark.parametrize(("share", "low", "high"), [(1.0, 0.862, 1.0), (0.0, 0.0, 0.138)])
def test_a_share_of_all_or_none_is_no_certainty(share: float, low: float, high: float) -> None:
    nats: list[tuple[float | None, int]] = [(1.0, 1)] * 24
    scores = rows(nats, ended=share, words=30.0)
    found = summary.summarise({"base": scores, "tuned": scores}, Evaluate(resamples=200, confidence=0.95), 1)
    cell = found["systems"]["base"]["ended_by_itself"]
    assert (cell["value"], cell["low"], cell["high"]) == pytest.approx((share, low, high), abs=5e-4)
    words = found["systems"]["base"]["answer_words"]  # no share: nothing is known of what else could have been
    assert (words["low"], words["high"]) == (30.0, 30.0)
    compared = next(c for c in found["comparisons"] if c["metric"] == "ended_by_itself")
    assert [compared[key] for key in ("difference", "low", "high", "p")] == [0, 0, 0, 1]


def test_the_groups_of_a_constant_share_count_and_not_its_rows() -> None:
    nats: list[tuple[float | None, int]] = [(1.0, 1)] * 8
    by_question = metric(rows(nats, groups="aabbccdd", ended=1.0), "ended_by_itself")
    alone = metric(rows(nats[:4], ended=1.0), "ended_by_itself")
    assert by_question["low"] == alone["low"]


def test_nothing_is_nan() -> None:
    broken = {"base": rows([(9e5, 1), (9e5, 2)]), "tuned": rows([(9e5, 1), (8e5, 2)])}
    assert json.dumps(summary.summarise(broken, SECTION, 1), allow_nan=False)
