"""The network in PyTorch, its training, and its weights as the arrays that NumPy reads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from name_recogniser.examples import LEXICON, ROWS, WORD, Examples
from name_recogniser.labels import UNKNOWN
from name_recogniser.lexicon import Lexicon
from pakar.prepare.names.network import DILATIONS, REACH
from pakar.prepare.names.words import code

WIDTH, HIDDEN = 64, 96
BATCH = 4096
DROPOUT = 0.1
FEATURE_DROPOUT = {WORD: 0.25, LEXICON: 0.12}


class Batch(NamedTuple):
    """Sequences in a row with empty places between them."""

    rows: Tensor  # features of the different words
    starts: Tensor  # where the features of each different word start
    kept: Tensor  # 0 for dropped features, else 1
    words: Tensor  # for each place the number of its word among the different ones
    glued: Tensor
    labels: NDArray[np.uint8]


class TaggerModule(nn.Module):
    """The same function as `pakar.prepare.names.network.scores`, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(ROWS, WIDTH) * 0.05)
        self.glued = nn.Parameter(torch.zeros(WIDTH))
        self.enter = nn.Linear(WIDTH, HIDDEN)
        self.layers = nn.ModuleList(nn.Linear(3 * HIDDEN, HIDDEN) for _ in DILATIONS)
        self.leave = nn.Linear(HIDDEN, 1)
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=0.04)

    def forward(self, batch: Batch) -> Tensor:
        """Log-odds of each place."""
        sums = functional.embedding_bag(batch.rows, self.table, batch.starts, mode="sum", per_sample_weights=batch.kept)
        inputs = functional.dropout(sums[batch.words] + batch.glued[:, None] * self.glued, DROPOUT)
        hidden = torch.relu(self.enter(inputs))
        for layer, step in zip(self.layers, DILATIONS, strict=True):
            before, after = (
                functional.pad(hidden, (0, 0, step, 0))[:-step],
                functional.pad(hidden, (0, 0, 0, step))[step:],
            )
            seen = functional.dropout(torch.cat([before, hidden, after], 1), DROPOUT)
            hidden = hidden + torch.relu(layer(seen))
        log_odds: Tensor = self.leave(hidden)[:, 0]
        return log_odds


def train(examples: Examples, minutes: float, *, rate: float, start: TaggerModule | None = None) -> TaggerModule:
    """Train for so many minutes; the rate rises over 100 steps and then falls to nothing.

    Args:
        examples: What to learn from; words with the label `UNKNOWN` count for nothing.
        minutes: Wall-clock time.
        rate: Highest learning rate.
        start: Weights to go on from.
    """
    torch.manual_seed(0)
    model = start or TaggerModule()
    others = [weights for name, weights in model.named_parameters() if name != "table"]
    groups = [{"params": [model.table], "weight_decay": 0.0}, {"params": others, "weight_decay": 0.01}]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))
    begin = time.monotonic()
    for step, batch in enumerate(_batches(examples, np.random.default_rng(0))):
        done = (time.monotonic() - begin) / (60 * minutes)
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 100) * max(0.02, 1 - done)
        known = torch.from_numpy(batch.labels != UNKNOWN)
        wanted = torch.from_numpy(batch.labels.astype(np.float32))[known]
        loss = functional.binary_cross_entropy_with_logits(model(batch)[known], wanted)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 200 == 0:
            print(f"step {step}: loss {loss.item():.4f}, {time.monotonic() - begin:.0f} s", flush=True)
    return model


def arrays(model: TaggerModule, lexicon: Lexicon) -> dict[str, NDArray[np.generic]]:
    """The weights in their stored form: a table of int8 with one scale for each row, the rest as float16."""
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    table = weights.pop("table")
    scale = np.maximum(np.abs(table).max(axis=1), 1e-8) / 127
    entries = sorted({code(word): entry.number for word, entry in lexicon.items()}.items())
    stored: dict[str, NDArray[np.generic]] = {
        name: np.ascontiguousarray(array.T if array.ndim == 2 else array, np.float16) for name, array in weights.items()
    }
    return stored | {
        "table": np.round(table / scale[:, None]).astype(np.int8),
        "scale": scale.astype(np.float16),
        "lexicon.codes": np.array([number for number, _ in entries], np.uint32),
        "lexicon.entries": np.array([entry for _, entry in entries], np.uint8),
    }


def _batches(examples: Examples, rng: np.random.Generator) -> Iterator[Batch]:
    """Batches without end, in a new order each time round."""
    chosen: list[int] = []
    size = 0
    while True:
        for sequence in rng.permutation(len(examples.starts) - 1):
            chosen.append(int(sequence))
            size += examples.starts[sequence + 1] - examples.starts[sequence]
            if size >= BATCH:
                yield _batch(examples, chosen, rng)
                chosen, size = [], 0


def _batch(examples: Examples, sequences: list[int], rng: np.random.Generator) -> Batch:
    empty = len(examples.ends) - 1
    pieces = [slice(examples.starts[n], examples.starts[n + 1]) for n in sequences]

    def padded(values: NDArray[np.generic], fill: int) -> NDArray[np.generic]:
        gap = np.full(REACH, fill, values.dtype)
        return np.concatenate([part for piece in pieces for part in (values[piece], gap)])

    different, words = np.unique(padded(examples.words, empty), return_inverse=True)
    ends = np.append(examples.ends, examples.ends[-1])
    first, lengths = ends[different], np.diff(ends)[different]
    starts = np.cumsum(lengths) - lengths
    at = np.repeat(first - starts, lengths) + np.arange(lengths.sum())
    keep = np.ones((len(different), 3), np.float32)
    for group, share in FEATURE_DROPOUT.items():
        keep[:, group] = rng.random(len(different)) >= share
    kept = keep[np.repeat(np.arange(len(different)), lengths), examples.groups[at]]
    return Batch(
        torch.from_numpy(examples.features[at].astype(np.int64)),
        torch.from_numpy(starts),
        torch.from_numpy(kept),
        torch.from_numpy(words),
        torch.from_numpy(padded(examples.glued, 0).astype(np.float32)),
        padded(examples.labels, UNKNOWN).astype(np.uint8),
    )
