"""A 5-gram model over the tokens of some tokenizer: the baseline that a small neural model must beat.

Interpolated Witten-Bell smoothing (Witten and Bell 1991; Chen and Goodman 1999, section 2.5):

    p_n(w | h) = (c(h, w) + t(h) p_{n-1}(w | h')) / (c(h) + t(h)),    p_0(w) = 1 / V

where c counts, t(h) is the number of different tokens seen behind h, and h' is h without its first token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

ORDER = 5
Hashes = npt.NDArray[np.uint64]
Ids = npt.NDArray[np.int64]
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


class _Order(NamedTuple):
    """What is known of one order: n-grams with their counts, contexts with their counts and kinds of followers; hashes ascend."""

    grams: Hashes
    counts: npt.NDArray[np.int64]
    contexts: Hashes
    followed: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.int64]


class FiveGram(NamedTuple):
    """See the module."""

    vocabulary: int
    orders: tuple[_Order, ...]

    def nats(self, ids: Sequence[int], begin: int) -> float:
        """Negative log-likelihood of a text's tokens; `begin` stands before them, as it did when the model was counted."""
        stream = np.concatenate([np.full(ORDER, begin), np.asarray(ids, dtype=np.int64)])
        probability = np.full(len(ids), 1.0 / self.vocabulary)
        for order, known in enumerate(self.orders, 1):
            grams, contexts = _hashes(stream, order)
            grams, contexts = grams[ORDER:], contexts[ORDER:]
            count, followed = _find(known.grams, known.counts, grams), _find(known.contexts, known.followed, contexts)
            kinds = _find(known.contexts, known.kinds, contexts)
            seen = followed > 0
            smoothed = (count + kinds * probability) / np.maximum(followed + kinds, 1)
            probability = np.where(seen, smoothed, probability)
        return float(-np.log(probability).sum())


def count(texts: Sequence[Sequence[int]], begin: int, vocabulary: int) -> FiveGram:
    """Count the n-grams of tokenised texts, each of which begins anew."""
    stream = np.concatenate([np.concatenate([np.full(ORDER, begin), np.asarray(ids, dtype=np.int64)]) for ids in texts])
    starts = np.cumsum([0, *(ORDER + len(ids) for ids in texts)])[:-1]
    counted = np.ones(len(stream), dtype=np.bool_)
    for place in range(ORDER):
        counted[starts + place] = False  # what stands before a text is not predicted
    return FiveGram(vocabulary, tuple(_order(stream, counted, order) for order in range(1, ORDER + 1)))


def _order(stream: Ids, counted: npt.NDArray[np.bool_], order: int) -> _Order:
    grams, contexts = _hashes(stream, order)
    unique, first, counts = np.unique(grams[counted], return_index=True, return_counts=True)
    behind, inverse = np.unique(contexts[counted][first], return_inverse=True)
    followed = np.bincount(inverse, weights=counts).astype(np.int64)
    return _Order(unique, counts, behind, followed, np.bincount(inverse))


def _hashes(stream: Ids, order: int) -> tuple[Hashes, Hashes]:
    """[T], [T]: of the n-gram that ends at every token, and of it without that token. 64 bits: collisions do not matter."""
    values = stream.astype(np.uint64) + np.uint64(1)
    context = np.full(len(stream), order, dtype=np.uint64)
    for back in range(order - 1, 0, -1):
        context = _mixed(context, np.concatenate([np.zeros(back, np.uint64), values[:-back]]))
    return _mixed(context, values), context


def _mixed(before: Hashes, more: Hashes) -> Hashes:
    with np.errstate(over="ignore"):
        mixed = (before ^ more) * _FACTOR
        return np.asarray((mixed ^ (mixed >> _SHIFT)) * _FACTOR + before, dtype=np.uint64)


def _find(sorted_hashes: Hashes, values: npt.NDArray[np.int64], wanted: Hashes) -> npt.NDArray[np.int64]:
    """The value of each hash, 0 where it is not known."""
    places = np.minimum(np.searchsorted(sorted_hashes, wanted), len(sorted_hashes) - 1)
    return np.where(sorted_hashes[places] == wanted, values[places], 0)
