"""Which tensors are alive, and how many bytes they are: part by part of a training step."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Moment(NamedTuple):
    """Bytes besides weights and moments, when a part of the step needs most.

    Attributes:
        activations: Alive when the part began: kept for the backward pass.
        gradients: Of weights, so far.
        working: On top of these, while the part computes.
    """

    activations: float
    gradients: float
    working: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.activations + self.gradients + self.working


@dataclass
class _Part:
    """Living bytes, and gradients among them: when the part began, and at its worst."""

    before: int
    before_gradients: int
    peak: int
    peak_gradients: int

    def moment(self) -> Moment:
        activations = self.before - self.before_gradients
        return Moment(activations, self.peak_gradients, self.peak - self.peak_gradients - activations)


@dataclass
class Counter:
    """Counts what operations give back, until nobody holds it any more. Tensors that were there before do not count."""

    live: int = 0
    gradients: int = 0
    _parts: dict[str, _Part] = field(default_factory=dict)
    _now: _Part | None = None
    _seen: weakref.WeakSet[Any] = field(default_factory=weakref.WeakSet)
    _with_gradient: set[int] = field(default_factory=set)

    def begin(self, name: str) -> None:
        """From here on, what is alive belongs to this part."""
        fresh = _Part(self.live, self.gradients, self.live, self.gradients)
        self._now = self._parts.setdefault(name, fresh)

    def add(self, tensor: torch.Tensor) -> None:
        """A tensor that an operation gave back; views share the storage of what they are views of."""
        storage = tensor.untyped_storage()
        if storage in self._seen:
            return
        size = int(storage.nbytes())
        self._seen.add(storage)
        self.live += size
        weakref.finalize(storage, self._gone, size)
        if self._now is not None and self.live > self._now.peak:
            self._now.peak, self._now.peak_gradients = self.live, self.gradients

    def ignore(self, tensors: Sequence[torch.Tensor]) -> None:
        """Tensors that were there before, such as weights."""
        for tensor in tensors:
            self._seen.add(tensor.untyped_storage())

    def is_gradient(self, weight: torch.Tensor) -> None:
        """The gradient of a weight is whole; it stays."""
        if weight.grad is not None and id(weight) not in self._with_gradient:
            self._with_gradient.add(id(weight))
            self.gradients += int(weight.grad.untyped_storage().nbytes())

    def moments(self) -> Mapping[str, Moment]:
        """What each part needed."""
        return {name: part.moment() for name, part in self._parts.items()}

    def _gone(self, size: int) -> None:
        self.live -= size


class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While this is on, every operation's results are counted."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._counter = counter

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation and count what it gives back."""
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, torch.Tensor):
                self._counter.add(one)
        return made
