from __future__ import annotations

import numpy as np
import pytest

from pakar.prepare.near_duplicates.minhash import SCHEME, band_keys, meeting_probability, signatures
from pakar.prepare.near_duplicates.sets import Sets

PAIRS, SIZE = 400, 180


def couples(similarity: float) -> Sets:
    """2·PAIRS random sets; sets 2i and 2i + 1 have this Jaccard similarity exactly."""
    common = round(2 * SIZE * similarity / (1 + similarity))
    numbers = np.random.default_rng(7).integers(2**32, size=(PAIRS, 2 * SIZE), dtype=np.uint32)
    one, other = numbers[:, :SIZE], np.concatenate([numbers[:, :common], numbers[:, SIZE : 2 * SIZE - common]], axis=1)
    both = np.sort(np.stack([one, other], axis=1).reshape(-1, SIZE), axis=1)
    return Sets(both.ravel(), np.arange(2 * PAIRS + 1) * SIZE)


@pytest.mark.parametrize(("similarity", "exact"), [(0.5, 0.5), (0.8, 0.8), (1.0, 1.0)])
def test_minima_agree_as_often_as_sets_are_similar(similarity: float, exact: float) -> None:
    minima = signatures(couples(similarity), 96)
    agreed = (minima[:, ::2] == minima[:, 1::2]).mean()
    spread = (exact * (1 - exact) / (96 * PAIRS)) ** 0.5
    assert abs(agreed - exact) <= 4 * spread


@pytest.mark.parametrize("similarity", [0.5, 0.8])
def test_pairs_meet_as_often_as_the_curve_says(similarity: float) -> None:
    keys = band_keys(signatures(couples(similarity), 96), 6)
    met = (keys[:, ::2] == keys[:, 1::2]).any(axis=0).mean()
    expected = meeting_probability(similarity)
    assert abs(met - expected) <= 4 * (expected * (1 - expected) / PAIRS) ** 0.5


def test_the_curve_of_the_defaults() -> None:
    assert [round(meeting_probability(j), 3) for j in (0.5, 0.7, 0.8, 0.85)] == [0.223, 0.865, 0.992, 0.999]


def test_datatroves_curve() -> None:  # the value its documentation gives for 14 bands of 8 rows
    assert round(meeting_probability(0.8, SCHEME._replace(bands=14, rows=8)), 2) == 0.92


def test_values_never_change() -> None:
    minima = signatures(Sets(np.array([1, 2, 3, 2], dtype=np.uint32), np.array([0, 3, 4])), 4)
    assert minima.T.tolist() == [
        [400673240, 895729857, 487197580, 2930813072],
        [3498596721, 3638429638, 3843637559, 2930813072],
    ]
    assert band_keys(minima, 2).T.tolist() == [
        [0xE244D86DCD8E79B5, 0x7CE86B77C87E300A],
        [0x6DBB6EE8FAA61EBA, 0x3F63F2DBF73E2602],
    ]


def test_bands_tell_their_rows_apart() -> None:
    minima = np.array([[1, 2], [2, 1]], dtype=np.uint32)
    keys = band_keys(minima, 2)
    assert keys[0, 0] != keys[0, 1]


def test_nothing_has_no_keys() -> None:
    empty = Sets(np.empty(0, dtype=np.uint32), np.zeros(1, dtype=np.int64))
    assert band_keys(signatures(empty, 96), 6).shape == (16, 0)
