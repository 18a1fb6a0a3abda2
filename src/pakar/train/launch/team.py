"""The processes that share one training, as one of them sees them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.distributed.tensor import DTensor

T = TypeVar("T")

PATIENCE = timedelta(hours=1)
"""How long a process waits for the others: longer than the slowest checkpoint, as one alone writes it."""
BUCKET = 2**25
"""Numbers that are summed in one message: few messages, and little memory besides the gradients."""


@dataclass(frozen=True)
class Team:
    """Processes that train one model together. Every method but the properties must be called by all of them at once.

    Attributes:
        rank: This process's number, from 0; number 0 leads: it alone writes files and speaks.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def add(self, *numbers: float) -> list[float]:
        """Each number's sum over all processes; every process gets the same bits."""
        if self.size == 1:
            return list(numbers)
        sums = torch.tensor(numbers, dtype=torch.float64, device=_device())
        dist.all_reduce(sums)
        return [float(number) for number in sums.tolist()]

    def add_gradients(self, weights: Iterable[torch.Tensor]) -> None:
        """Replace each gradient by its sum over all processes; a process that had none of a weight counts as zero.

        Called once per step, after the last pass. Gradients of sharded weights are summed already.
        """
        if self.size == 1:
            return
        whole = [weight for weight in weights if weight.requires_grad and not isinstance(weight, DTensor)]
        for bucket in _buckets(whole):
            gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in bucket]
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            dist.all_reduce(flat)
            for weight, part in zip(bucket, torch.split(flat, [w.numel() for w in bucket]), strict=True):
                weight.grad = part.view_as(weight) if weight.grad is None else weight.grad.copy_(part.view_as(weight))

    def most(self, number: float) -> float:
        """The largest of all processes' numbers."""
        if self.size == 1:
            return number
        largest = torch.tensor(number, dtype=torch.float64, device=_device())
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
        return float(largest)

    def all(self, holds: bool) -> bool:
        """Whether it holds in every process."""
        return self.most(not holds) == 0

    def gather(self, value: T) -> list[T]:
        """What every process has, in the order of their ranks."""
        gathered: list[Any] = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(gathered, value)
        return gathered

    def wait(self) -> None:
        """Go on when all have come here."""
        self.add(0.0)

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Run the block in the leader, then in all others."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()

    def leave(self) -> None:
        """End working together; the process itself goes on."""
        if self.size > 1:
            with suppress(Exception):  # another one may be gone already
                dist.destroy_process_group()


ALONE = Team()
"""One process, as usual."""


def expected() -> Team:
    """What the environment says about this process; nothing is connected yet."""
    return Team(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def on_this_machine() -> int:
    """Processes of the team that share this machine, this one among them."""
    return max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def join() -> Team:
    """Connect with the others: over NCCL between GPUs, else over gloo."""
    team = expected()
    if team.size == 1:
        return ALONE
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    meeting = PrefixStore("pakar", store())
    dist.init_process_group(backend, store=meeting, rank=team.rank, world_size=team.size, timeout=PATIENCE)
    return team


@cache
def store() -> Store:
    """Where processes of one team find each other; who started them says where it is."""
    found, _, _ = next(rendezvous("env://", timeout=PATIENCE))
    assert isinstance(found, Store)  # noqa: S101 - narrows a type for the checker
    return found


def _device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def _buckets(weights: list[torch.Tensor]) -> Iterable[list[torch.Tensor]]:
    """Neighbours of the same format, in parts of about `BUCKET` numbers."""
    bucket: list[torch.Tensor] = []
    for weight in weights:
        if bucket and (weight.dtype != bucket[0].dtype or sum(w.numel() for w in bucket) + weight.numel() > BUCKET):
            yield bucket
            bucket = []
        bucket.append(weight)
    if bucket:
        yield bucket
