"""Metrics from the likelihood of the reference answers. Smaller is better in all of them.

Sums are taken over all tokens before dividing: a mean of per-example values would weigh short answers more.
"""

from __future__ import annotations

import math

import numpy as np

from pakar.metrics.metric import Floats, Metric


def _perplexity(nats_per_token: Floats) -> Floats:
    """Euler's number to the loss; infinite when that is over the range of a float, which is reported as skipped."""
    with np.errstate(over="ignore"):
        return np.exp(nats_per_token)


def _bits(nats: Floats) -> Floats:
    return nats / math.log(2)


METRICS = (
    Metric("loss", "nats per token", False, "nll", per="tokens"),
    Metric("perplexity", "choices per token", False, "nll", per="tokens", finish=_perplexity),
    # Unlike the two above, this one compares models with different tokenizers.
    Metric("bits_per_byte", "bits per byte", False, "nll", per="bytes", finish=_bits),
)
