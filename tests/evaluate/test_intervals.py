from __future__ import annotations

import numpy as np
import pytest

from pakar.evaluate import intervals
from pakar.evaluate.intervals import Floats


def mean_interval(values: Floats, groups: list[str], seed: int = 0, resamples: int = 500) -> intervals.Interval:
    sums = intervals.group_sums(groups, np.stack([values, np.ones_like(values)], axis=1))
    resampled = intervals.resampled_sums(sums, resamples, seed)
    return intervals.percentile(resampled[:, 0] / resampled[:, 1], 0.9)


def singles(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def test_group_sums_add_up_whatever_the_order() -> None:
    sums = intervals.group_sums(["b", "a", "b"], np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]))
    assert sums.tolist() == [[2.0, 20.0], [4.0, 40.0]]


def test_each_resample_draws_as_many_groups_as_there_are() -> None:
    assert set(intervals.resampled_sums(np.ones((7, 1)), 300, seed=1).ravel()) == {7.0}


def test_blocks_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = np.random.default_rng(0).normal(size=(13, 2))
    whole = intervals.resampled_sums(sums, 100, seed=4)
    monkeypatch.setattr(intervals, "_BLOCK", 30)
    np.testing.assert_allclose(intervals.resampled_sums(sums, 100, seed=4), whole)


def test_the_seed_decides() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert mean_interval(values, singles(50), seed=1) == mean_interval(values, singles(50), seed=1)
    assert mean_interval(values, singles(50), seed=1) != mean_interval(values, singles(50), seed=2)


def test_nine_of_ten_intervals_cover_the_truth() -> None:
    generator = np.random.default_rng(3)
    hits = 0
    for _ in range(300):
        low, high = mean_interval(generator.normal(5.0, 2.0, size=60), singles(60))
        hits += low <= 5.0 <= high
    assert 0.84 <= hits / 300 <= 0.95


def test_groups_that_are_alike_widen_the_interval_and_restore_its_coverage() -> None:
    generator = np.random.default_rng(3)
    groups = [str(number // 5) for number in range(200)]
    hits = {"clustered": 0, "single": 0}
    for _ in range(200):
        values = np.repeat(generator.normal(size=40), 5) + 0.2 * generator.normal(size=200)
        clustered, single = (
            mean_interval(values, groups, resamples=200),
            mean_interval(values, singles(200), resamples=200),
        )
        assert clustered.high - clustered.low > single.high - single.low
        hits["clustered"] += clustered.low <= 0 <= clustered.high
        hits["single"] += single.low <= 0 <= single.high
    assert hits["clustered"] / 200 > 0.82
    assert hits["single"] / 200 < 0.65


def paired_differences(change: float) -> Floats:
    generator = np.random.default_rng(5)
    before = generator.normal(0, 10, size=100)
    after = before + change + generator.normal(0, 1, size=100)
    totals = intervals.resampled_sums(np.stack([before, after], axis=1), 1000, seed=2)
    return np.asarray((totals[:, 1] - totals[:, 0]) / 100)


def test_pairing_shows_a_small_difference_between_widely_spread_values() -> None:
    low, high = intervals.percentile(paired_differences(0.8), 0.95)
    assert 0 < low < 0.8 < high
    assert intervals.p_value(paired_differences(0.8)) < 0.01


def test_no_difference_has_a_large_p() -> None:
    assert intervals.p_value(paired_differences(0.0)) > 0.05
    assert intervals.p_value(np.zeros(100)) == 1.0


@pytest.mark.parametrize(
    ("share", "count", "low", "high"), [(1.0, 24, 0.862, 1.0), (0.0, 24, 0.0, 0.138), (0.5, 10, 0.237, 0.763)]
)
def test_wilson_equals_published_values(share: float, count: int, low: float, high: float) -> None:
    assert intervals.wilson(share, count, 0.95) == pytest.approx((low, high), abs=5e-4)


def test_p_is_never_zero() -> None:
    assert intervals.p_value(np.ones(999)) == pytest.approx(2 / 1000)
