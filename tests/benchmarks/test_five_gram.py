from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import five_gram

Texts = list[list[int]]


def witten_bell(texts: Texts, ids: list[int], begin: int, vocabulary: int) -> float:
    """The formula, word for word, over dictionaries."""
    grams: Counter[tuple[int, ...]] = Counter()
    for text in texts:
        whole = [begin] * 5 + text
        for end, order in itertools.product(range(5, len(whole)), range(1, 6)):
            grams[tuple(whole[end - order + 1 : end + 1])] += 1

    def probability(history: tuple[int, ...], word: int) -> float:
        shorter = probability(history[1:], word) if history else 1 / vocabulary
        behind = {
            gram: count for gram, count in grams.items() if gram[:-1] == history and len(gram) == len(history) + 1
        }
        if not behind:
            return shorter
        return (grams[(*history, word)] + len(behind) * shorter) / (sum(behind.values()) + len(behind))

    whole = [begin] * 5 + ids
    return -sum(math.log(probability(tuple(whole[end - 4 : end]), whole[end])) for end in range(5, len(whole)))


@given(
    st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=8), min_size=1, max_size=4),
    st.lists(st.integers(1, 6), min_size=1, max_size=6),
)
def test_it_is_the_formula(texts: Texts, ids: list[int]) -> None:
    model = five_gram.count(texts, 0, 8)
    assert model.nats(ids, 0) == pytest.approx(witten_bell(texts, ids, 0, 8))


def test_probabilities_of_all_words_add_up_to_one() -> None:
    model = five_gram.count([[1, 2, 3, 1, 2, 4], [2, 3, 3]], 0, 8)
    for history in ([1, 2], [7], [3, 1, 2]):
        before = model.nats(history, 0)
        assert sum(math.exp(before - model.nats([*history, word], 0)) for word in range(8)) == pytest.approx(1)
