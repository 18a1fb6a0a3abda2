from __future__ import annotations

import pytest

from pakar.evaluate import intervals
from pakar.evaluate.report import charts, pages
from pakar.evaluate.report.content import Estimate, LossCurve
from pakar.report import ledger, wording


def test_a_small_number_is_not_shown_as_zero() -> None:
    assert wording.figures([-0.42, -0.004]) == ["−0.420", "−0.004"]
    assert wording.figure(0.0) == "0.00"


def test_shares_are_per_cent_and_their_differences_points() -> None:
    assert pages.value(Estimate(0.4, 0.25, 0.5, 24, "share", higher_is_better=True)) == ("40 %", "25 to 50 %")
    assert wording.difference(-0.1, 0.05, 0.2, "share") == ("+5 points", "−10 to +20")


def test_huge_numbers_stay_short() -> None:
    assert wording.figure(1.5e12) == "1.50e+12"


@pytest.mark.parametrize(("seconds", "shown"), [(4.26, "4.3 s"), (61, "61 s"), (600, "10 min"), (9000, "2.5 h")])
def test_time(seconds: float, shown: str) -> None:
    assert wording.minutes(seconds) == shown


def test_unknown_names_are_shown_as_they_are() -> None:
    assert wording.metric("bert_score").title == "Bert score"
    assert wording.system("prompt-engineered") == "Prompt engineered"
    assert wording.reason("some_new_reason") == "a rule of the recipe left it out"


@pytest.mark.parametrize(
    ("said", "shown"),
    [("ann.b+c@mail.example.org!", "[e-mail]!"), ("+62 812-3456-789", "[number]"), ("(021) 555 1234 5", "([number]"),
     ("in 2026, 40 times", "in 2026, 40 times")],
)  # fmt: skip
def test_addresses_and_numbers_are_masked(said: str, shown: str) -> None:
    assert ledger.masked(said) == shown


@pytest.mark.parametrize("losses", [[3.0], [3.0, 3.0], [1e9, 1e-9], [0.0]])
def test_a_curve_of_any_values_can_be_drawn(losses: list[float]) -> None:
    points = tuple(enumerate(losses))
    drawn = charts.loss_curve(LossCurve(points, points, points[:1], points[0]))
    assert "nan" not in drawn
    assert "<title>Loss during training</title>" in drawn


def test_validation_without_training_can_be_drawn() -> None:
    assert "validation loss goes from 6.00 at step 0" in charts.loss_curve(LossCurve((), (), ((0, 6.0),), None))


def test_an_interval_without_width_is_not_shown_as_certainty() -> None:
    assert pages.value(Estimate(1.0, 1.0, 1.0, 24, "share", higher_is_better=True)) == ("100 %", "the same in all 24")
    wilson = Estimate(1.0, *intervals.wilson(1.0, 24, 0.95), 24, "share", higher_is_better=True)
    assert pages.value(wilson) == ("100 %", "86 to 100 %")
    assert pages.value(Estimate(1.0, None, None, 1, "share", higher_is_better=True)) == ("100 %", "")
