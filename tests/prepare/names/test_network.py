"""The NumPy network against PyTorch's own convolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from pakar.prepare.names import network
from pakar.prepare.names.network import DILATIONS, REACH, Network

WIDTH, HIDDEN, ROWS = 6, 5, 20


def random_network() -> Network:
    draw = np.random.default_rng(3)
    arrays: dict[str, np.ndarray[Any, np.dtype[np.generic]]] = {
        "table": draw.integers(-127, 127, (ROWS, WIDTH)).astype(np.int8),
        "scale": draw.uniform(0.001, 0.02, ROWS).astype(np.float16),
        "glued": draw.normal(size=WIDTH),
    }
    for name, shape in {"enter": (WIDTH, HIDDEN), "leave": (HIDDEN, 1)}.items():
        arrays |= {f"{name}.weight": draw.normal(size=shape), f"{name}.bias": draw.normal(size=shape[1])}
    for n in range(len(DILATIONS)):
        arrays |= {
            f"layers.{n}.weight": draw.normal(size=(3 * HIDDEN, HIDDEN)),
            f"layers.{n}.bias": draw.normal(size=HIDDEN),
        }
    return network.from_arrays(arrays)


def reference(weights: Network, inputs: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> torch.Tensor:
    hidden = torch.relu(torch.tensor(inputs) @ torch.tensor(weights.enter[0]) + torch.tensor(weights.enter[1]))
    for (weight, bias), step in zip(weights.layers, DILATIONS, strict=True):
        kernel = torch.tensor(weight).reshape(3, HIDDEN, HIDDEN).permute(2, 1, 0)
        seen = functional.conv1d(hidden.T, kernel, torch.tensor(bias), padding=step, dilation=step)
        hidden = hidden + torch.relu(seen.T)
    return (hidden @ torch.tensor(weights.leave[0]) + torch.tensor(weights.leave[1]))[:, 0]


def test_scores_agree_with_dilated_convolutions() -> None:
    weights = random_network()
    inputs = np.random.default_rng(4).normal(size=(40, WIDTH)).astype(np.float32)
    torch.testing.assert_close(
        torch.tensor(network.scores(weights, inputs)), reference(weights, inputs), rtol=1e-4, atol=1e-4
    )


def test_words_further_away_than_the_reach_change_nothing() -> None:
    weights = random_network()
    inputs = np.random.default_rng(4).normal(size=(4 * REACH, WIDTH)).astype(np.float32)
    changed = inputs.copy()
    changed[0] += 1
    before, after = network.scores(weights, inputs), network.scores(weights, changed)
    np.testing.assert_allclose(after[REACH + 1 :], before[REACH + 1 :], rtol=1e-4, atol=1e-4)
    assert not np.allclose(after[: REACH + 1], before[: REACH + 1])


def test_embeddings_are_sums_of_rows() -> None:
    weights = random_network()
    np.testing.assert_allclose(
        network.embed(weights, [[1, 2], [3], [3, 3, 0]]),
        np.stack([weights.table[[1, 2]].sum(0), weights.table[3], weights.table[[3, 3, 0]].sum(0)]),
        rtol=1e-5,
        atol=1e-6,
    )
