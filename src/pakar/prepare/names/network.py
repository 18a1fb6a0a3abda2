"""The tagger's network, in NumPy: summed features, then residual convolutions, then one score for each word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

DILATIONS = (1, 1, 2, 4)
"""How far to each side the convolutions look, one after the other."""

REACH = sum(DILATIONS)
"""Words to each side that can change a word's score; as many empty places part two texts, so that neighbours never do."""


class Network(NamedTuple):
    """Weights; `rows` is the number of features, `width` that of their vectors, `hidden` that of the convolutions."""

    table: Floats  # rows, width
    glued: Floats  # width; added where no space stands before the word
    enter: tuple[Floats, Floats]  # (width, hidden), (hidden,)
    layers: tuple[tuple[Floats, Floats], ...]  # each (3 * hidden, hidden), (hidden,)
    leave: tuple[Floats, Floats]  # (hidden, 1), (1,)


def from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> Network:
    """The network from stored arrays: the table as int8 with one scale for each row, the rest as float16."""
    floats = {name: array.astype(np.float32) for name, array in arrays.items() if array.dtype != np.uint32}
    return Network(
        table=floats["table"] * floats["scale"][:, None],
        glued=floats["glued"],
        enter=(floats["enter.weight"], floats["enter.bias"]),
        layers=tuple((floats[f"layers.{n}.weight"], floats[f"layers.{n}.bias"]) for n in range(len(DILATIONS))),
        leave=(floats["leave.weight"], floats["leave.bias"]),
    )


def embed(network: Network, features: Sequence[Sequence[int]]) -> Floats:
    """The sum of each word's feature vectors: (words, width)."""
    starts = np.cumsum([0, *map(len, features[:-1])])
    rows = np.fromiter((row for word in features for row in word), dtype=np.int64)
    vectors: Floats = np.add.reduceat(network.table[rows], starts, axis=0)
    return vectors


def scores(network: Network, inputs: Floats) -> Floats:
    """Log-odds that each word belongs to a name: (words,) from (words, width), words of all texts in a row."""
    weight, bias = network.enter
    hidden = np.maximum(inputs @ weight + bias, 0)
    for (weight, bias), step in zip(network.layers, DILATIONS, strict=True):
        hidden += np.maximum(_neighbours(hidden, step) @ weight + bias, 0)
    weight, bias = network.leave
    log_odds: Floats = (hidden @ weight + bias)[:, 0]
    return log_odds


def _neighbours(hidden: Floats, step: int) -> Floats:
    """Each place with those `step` before and after it, empty beyond the edges: (words, 3 * hidden)."""
    length, width = hidden.shape
    joined = np.zeros((length, 3 * width), dtype=np.float32)
    joined[step:, :width] = hidden[:-step]
    joined[:, width : 2 * width] = hidden
    joined[:-step, 2 * width :] = hidden[step:]
    return joined
