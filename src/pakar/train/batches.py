"""Which sequences go into which step, and how they become tensors. Addressed by step, so that resuming needs no replay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from pakar.shards import TokenShards

IGNORED = -100
"""Target of a position that carries no loss; what torch's cross entropy calls `ignore_index`."""
_POOL_BATCHES = 50


class Batch(NamedTuple):
    """Padded on the right. B sequences, T tokens.

    Attributes:
        input_ids: [B, T]; padding holds 0 and is told apart by `attention_mask` alone, never by its id.
        attention_mask: [B, T]; 1 where there is a token.
        targets: [B, T - 1]; the next token where it carries loss, else IGNORED.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    targets: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        return Batch(*(tensor.to(device) for tensor in self))


@dataclass
class BatchPlan:
    """The order of training: a pure function of lengths, seed and epoch.

    Sequences are shuffled, then sorted by length within pools of 50 batches, cut into batches, and the batches shuffled:
    neighbours in a batch are of like length, so little is padded, while every epoch mixes differently.
    """

    lengths: npt.NDArray[np.int64]
    batch_size: int
    seed: int
    _latest: tuple[int, list[npt.NDArray[np.int64]]] | None = field(default=None, init=False, repr=False)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one pass over the sequences; the last one may be smaller."""
        return -(-len(self.lengths) // self.batch_size)

    def epoch(self, number: int) -> list[npt.NDArray[np.int64]]:
        """Sequence numbers of every step of an epoch (from 0); the latest epoch's order is kept at hand."""
        if self._latest is None or self._latest[0] != number:
            self._latest = number, self._order(number)
        return self._latest[1]

    def _order(self, number: int) -> list[npt.NDArray[np.int64]]:
        chance = np.random.default_rng((self.seed, number))
        order = chance.permutation(len(self.lengths))
        pool = _POOL_BATCHES * self.batch_size
        batches: list[npt.NDArray[np.int64]] = []
        for start in range(0, len(order), pool):
            members = order[start : start + pool]
            members = members[np.argsort(self.lengths[members], kind="stable")]
            batches += [members[i : i + self.batch_size] for i in range(0, len(members), self.batch_size)]
        return [batches[i] for i in chance.permutation(len(batches))]


def micro_batches(
    members: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], most_tokens: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Cut a step into parts whose padded size is at most `most_tokens`; a longer sequence goes alone."""
    ordered = members[np.argsort(-lengths[members], kind="stable")]
    start = 0
    while start < len(ordered):
        rows = max(1, most_tokens // int(lengths[ordered[start]]))
        yield ordered[start : start + rows]
        start += rows


def collate(shards: TokenShards, members: Sequence[int] | npt.NDArray[np.int64]) -> Batch:
    """Tensors of some sequences."""
    sequences = [shards[int(member)] for member in members]
    width = max(len(sequence.input_ids) for sequence in sequences)
    ids = torch.zeros((len(sequences), width), dtype=torch.long)
    attention = torch.zeros_like(ids)
    targets = torch.full_like(ids, IGNORED)
    for row, sequence in enumerate(sequences):
        length = len(sequence.input_ids)
        ids[row, :length] = torch.from_numpy(sequence.input_ids.astype(np.int64))
        attention[row, :length] = 1
        targets[row, :length] = torch.from_numpy(
            np.where(sequence.loss_mask == 1, sequence.input_ids, IGNORED).astype(np.int64)
        )
    return Batch(ids, attention, targets[:, 1:].contiguous())


def token_losses(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Sum of the negative log likelihoods (nats) over the targets that carry loss, and their number.

    Args:
        logits: [B, T, V]; the last position is not used.
        targets: [B, T - 1].
    """
    flat = logits[:, :-1].flatten(0, 1).float()
    total = torch.nn.functional.cross_entropy(flat, targets.flatten(), ignore_index=IGNORED, reduction="sum")
    return total, int((targets != IGNORED).sum())
