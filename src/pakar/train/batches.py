"""Which sequences go into which step, and how they become tensors. Addressed by step, so that resuming needs no replay."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from pakar.shards import TokenShards
from pakar.train.packing import Pass

IGNORED = -100
"""Target of a position that carries no loss; what torch's cross entropy calls `ignore_index`."""
_POOL_BATCHES = 50


class Batch(NamedTuple):
    """The tensors of one forward pass. R rows, T positions, N supervised positions.

    Attributes:
        input_ids: [R, T]; padding holds 0 and is told apart by the other tensors alone, never by its id.
        position_ids: [R, T]; they begin at 0 with every sequence, and with the padding behind the last one.
        attention_mask: [R, T]; 1 where there is a token.
        places: [N]; positions, counted through all rows, whose next token carries loss.
        targets: [N]; these next tokens.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    attention_mask: torch.Tensor
    places: torch.Tensor
    targets: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))


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


def collate(shards: TokenShards, laid_out: Pass) -> Batch:
    """Tensors of a pass."""
    shape = len(laid_out.rows), laid_out.width
    ids, positions, attention = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    targets = np.full(shape, IGNORED, dtype=np.int64)
    for row, members in enumerate(laid_out.rows):
        start = 0
        for sequence in (shards[member] for member in members):
            length = len(sequence.input_ids)
            here = slice(start, start + length)
            ids[row, here] = sequence.input_ids
            positions[row, here] = np.arange(length)
            attention[row, here] = 1
            followed = slice(start, start + length - 1)
            targets[row, followed] = np.where(sequence.loss_mask[1:] == 1, sequence.input_ids[1:], IGNORED)
            start += length
        positions[row, start:] = np.arange(laid_out.width - start)
    flat = targets.reshape(-1)
    places = np.flatnonzero(flat != IGNORED)
    return Batch(*map(torch.from_numpy, (ids, positions, attention, places, flat[places])))


def idle_batch() -> Batch:
    """A pass of next to nothing, for a process that has none left while others do; its loss must weigh zero."""
    ids = torch.zeros((1, 2), dtype=torch.long)
    return Batch(ids, torch.tensor([[0, 1]]), torch.ones_like(ids), torch.tensor([0]), torch.tensor([0]))
