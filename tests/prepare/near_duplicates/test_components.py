from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pakar.prepare.near_duplicates.candidates import Pairs, pair
from pakar.prepare.near_duplicates.components import components, drop

ROWS = 12
EDGES = st.sets(st.tuples(st.integers(0, ROWS - 1), st.integers(0, ROWS - 1)).filter(lambda e: e[0] < e[1]))


def coded(edges: set[tuple[int, int]]) -> Pairs:
    low, high = np.array(sorted(edges), dtype=np.int64).reshape(-1, 2).T
    return pair(low, high)


@settings(deadline=None)
@given(EDGES)
def test_components_are_those_of_union_find(edges: set[tuple[int, int]]) -> None:
    linked = {row: {row} for row in range(ROWS)}
    for one, other in edges:
        together = linked[one] | linked[other]
        linked |= dict.fromkeys(together, together)
    assert components(ROWS, coded(edges)).tolist() == [min(linked[row]) for row in range(ROWS)]


def test_long_chains_are_one_component() -> None:
    names = np.random.default_rng(0).permutation(50_000)
    low, high = np.minimum(names[:-1], names[1:]), np.maximum(names[:-1], names[1:])
    assert not components(50_000, np.sort(pair(low, high))).any()
    assert not components(50_000, pair(np.arange(49_999), np.arange(1, 50_000))).any()
    last = np.full(49_999, 49_999)
    assert not components(50_000, pair(np.arange(49_999), last)).any()


@settings(deadline=None)
@given(EDGES)
def test_every_dropped_row_is_most_similar_to_its_kept_one(edges: set[tuple[int, int]]) -> None:
    pairs = coded(edges)
    similarity = np.random.default_rng(len(edges)).integers(80, 84, len(pairs)) / 100
    known = dict(zip(sorted(edges), similarity.tolist(), strict=True))
    kept: list[int] = []
    expected = {}
    for row in range(ROWS):
        near = [one for one in kept if (one, row) in known]
        if near:
            expected[row] = min(near, key=lambda one: (-known[one, row], one))
        else:
            kept.append(row)
    gone = drop(ROWS, pairs, similarity)
    assert dict(zip(gone.rows.tolist(), gone.kept.tolist(), strict=True)) == expected
    assert gone.similarity.tolist() == [known[one, row] for row, one in sorted(expected.items())]


def test_the_far_end_of_a_chain_stays() -> None:
    gone = drop(3, coded({(0, 1), (1, 2)}), np.array([0.9, 0.9]))
    assert gone.rows.tolist() == [1]
