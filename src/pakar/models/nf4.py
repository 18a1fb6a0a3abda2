"""The sixteen levels of the number format NF4, from the quantiles of the normal distribution. Pure Python."""

from __future__ import annotations

from statistics import NormalDist

OUTERMOST = 0.9677083
"""Probability below which the highest level's quantile lies, as in bitsandbytes: ½ (1 - 1/32 + 1 - 1/30) to seven digits."""


def levels() -> tuple[float, ...]:
    """The levels that 4-bit weights take, from -1 to 1; a weight is a level times the largest magnitude of its block.

    This is the construction that bitsandbytes computes with (`create_normal_map`; described in QLoRA, Dettmers et al.
    2023, section 3, after equation 4). The two sides are apart: evenly spaced probabilities from `OUTERMOST` down to one
    half give eight positive levels, more widely spaced ones seven negative levels, and zero is put in once. All are
    divided by the largest. So every one of the 16 codes is used, zero is exact, and there is one level more above it
    than below. The paper's equation 4 alone gives another table: see `equation_4`.
    """
    positive = [_quantile(OUTERMOST, step / 8) for step in range(8)]
    negative = [-_quantile(OUTERMOST, step / 7) for step in range(7)]
    return tuple(level / positive[0] for level in sorted((*negative, 0.0, *positive)))


def equation_4(bits: int = 4) -> tuple[float, ...]:
    """Means of neighbouring quantiles of N(0, 1), not scaled: QLoRA's equation 4.

    q_i = ½ (Q(i / (2^k + 1)) + Q((i + 1) / (2^k + 1))) for k bits, Q being the quantile function. At i = 0 and i = 2^k
    it would need Q(0) and Q(1), which are infinite. So only 2^k - 1 values are finite, i from 1 to 2^k - 1: symmetric
    around an exact zero, with one code of the 2^k unused. `levels` is what the paper goes on to and what programs use.
    """
    quantile, steps = NormalDist().inv_cdf, 2**bits + 1
    return tuple((quantile(i / steps) + quantile((i + 1) / steps)) / 2 for i in range(1, 2**bits))


def _quantile(outermost: float, done: float) -> float:
    """Quantile of the probability that lies `done` of the way from `outermost` to one half."""
    return NormalDist().inv_cdf(outermost + (0.5 - outermost) * done)
