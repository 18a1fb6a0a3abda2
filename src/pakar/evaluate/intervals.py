"""Bootstrap intervals and paired tests, as pure functions on arrays. Knows nothing of models, metrics or files.

Letters: N examples, G groups, K columns, B resamples.

Whole groups are drawn with replacement, because examples of one group (answers to the same question) are alike:
drawing single examples would give intervals that are too narrow (Davison & Hinkley 1997, section 3.8; Field & Welsh
2007). Ratios resample numerator and denominator together. Two systems are compared on the same draws (paired
bootstrap, Koehn 2004).

Limits: percentile intervals are first-order accurate and too narrow for few groups (say, under 20). Resampling equal
values shows no spread at all; for shares of 0 or 1 there is the Wilson score interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_BLOCK = 2**21
"""Most draws held in memory at once: 16 MiB of numbers."""


class Interval(NamedTuple):
    """A range of values."""

    low: float
    high: float


def group_sums(groups: Sequence[str], columns: Floats) -> Floats:
    """Sums of `columns` [N K] over each group → [G K], groups in sorted order."""
    names, rows = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    sums = np.zeros((len(names), columns.shape[1]))
    np.add.at(sums, rows, columns)
    return sums


def resampled_sums(sums: Floats, resamples: int, seed: int) -> Floats:
    """Totals of B bootstrap resamples of the rows of `sums` [G K] → [B K].

    Each resample draws G of G rows with replacement. The draws depend on G, B and the seed only, so two calls with
    equally many groups are paired. A matrix of weights (how often each row was drawn) turns the sums into one product.
    """
    num_groups = len(sums)
    generator = np.random.default_rng(seed)
    block = max(1, _BLOCK // num_groups)
    totals = []
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = generator.integers(num_groups, size=(size, num_groups)) + np.arange(size)[:, None] * num_groups
        weights = np.bincount(drawn.ravel(), minlength=size * num_groups).reshape(size, num_groups)
        totals.append(weights.astype(np.float64) @ sums)
    return np.concatenate(totals)


def percentile(values: Floats, confidence: float) -> Interval:
    """Percentile interval (Efron & Tibshirani 1993, section 13.3) of resampled `values` [B]; infinite if they are."""
    outside = (1 - confidence) / 2
    with np.errstate(invalid="ignore"):
        low, high = np.quantile(values, [outside, 1 - outside])
    return Interval(float(low), float(high))


def wilson(share: float, count: int, confidence: float) -> Interval:
    """Wilson score interval of a share of `count` independent groups (Wilson 1927; Brown, Cai & DasGupta 2001, eq. 4).

    >>> low, high = wilson(1.0, 24, 0.95)
    >>> round(low, 2), high
    (0.86, 1.0)
    """
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    middle = share + z2 / (2 * count)
    half = (z2 * (share * (1 - share) / count + z2 / (4 * count**2))) ** 0.5
    low, high = ((middle + sign * half) / (1 + z2 / count) for sign in (-1, 1))
    # With a share of 0 or 1 one end equals it; rounding must not put it beside.
    return Interval(0.0 if share == 0 else low, 1.0 if share == 1 else high)


def p_value(differences: Floats) -> float:
    """Two-sided p of "no difference" from resampled `differences` [B]: where zero lies among them.

    p = min(1, 2·min(P(difference ≤ 0), P(difference ≥ 0))), the interval turned into a test (Efron & Tibshirani 1993,
    chapter 15), each share counted as (1 + b) / (1 + B) so that it is never zero (Davison & Hinkley 1997, eq. 4.11).
    """
    below = (1 + np.count_nonzero(differences <= 0)) / (1 + len(differences))
    above = (1 + np.count_nonzero(differences >= 0)) / (1 + len(differences))
    return float(min(1.0, 2 * min(below, above)))
