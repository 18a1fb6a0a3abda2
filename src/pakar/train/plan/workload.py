"""How much there is to compute: rows, tokens, steps and passes, from the recipe and from what is known of the data."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pakar.recipe import Recipe, Tokens
from pakar.recipe.prepare import NoAugmentation
from pakar.train import order, packing
from pakar.train.batches import BatchPlan
from pakar.train.haste.attention import SHORT

STEPS_LOOKED_AT = 200
"""Steps whose passes are laid out to find the largest one."""


class Lengths(NamedTuple):
    """What is known of the rows that are left after cleaning.

    Attributes:
        rows: How many there are, before they are split.
        tokens: Of each row that was looked at.
        learnt: Share of all tokens that the model learns to write.
    """

    rows: int
    tokens: npt.NDArray[np.int64]
    learnt: float


class Shape(NamedTuple):
    """Of a pass.

    Attributes:
        rows: How many.
        width: Tokens in each, padding included.
        later: Whether another pass of its step came before it, whose gradients are there.
    """

    rows: int
    width: int
    later: bool

    @property
    def tokens(self) -> int:
        """Padding included."""
        return self.rows * self.width

    @property
    def short(self) -> bool:
        """Whether attention may keep the square of the width for each row; for wider ones it depends on device and dropout."""
        return self.width <= SHORT

    def covers(self, other: Shape) -> bool:
        """Whether this one needs as much memory at least, however attention is computed."""
        wider = self.width >= other.width and self.short == other.short
        return self.tokens >= other.tokens and wider and self.later >= other.later


class Largest(NamedTuple):
    """The largest passes of a training.

    Attributes:
        shapes: Few, among which is the one that needs most memory: those with the most tokens and with the widest attention,
            of short and of wide rows, of the passes that begin a step and of those that follow another; without what another
            of them covers.
        passes: Of the step with most of them.
    """

    shapes: tuple[Shape, ...]
    passes: int


@dataclass(frozen=True)
class Workload:
    """Of the whole training.

    Attributes:
        rows: Of the training split, augmented ones among them; None if nothing is known.
        validation_rows: Of the validation split.
        lengths: Of rows that stand for all; cut at the context.
        learnt: Share of the tokens that carry loss.
        epochs: Passes over the rows.
        batch_size: Rows a step, or tokens.
        measured: Whether lengths come from the data; else every row is taken to fill the context.
    """

    rows: int | None
    validation_rows: int
    lengths: npt.NDArray[np.int64]
    learnt: float
    epochs: int
    batch_size: int | Tokens
    measured: bool

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        return int(self.lengths.max())

    @property
    def row_tokens(self) -> float:
        """Mean length."""
        return float(self.lengths.mean())

    @property
    def steps(self) -> int | None:
        """Optimizer steps if nothing stops early."""
        if self.rows is None:
            return None
        if isinstance(self.batch_size, int):
            return self.epochs * -(-self.rows // self.batch_size)
        return self.epochs * max(1, int(self.rows * self.row_tokens // max(self.batch_size.tokens, self.longest)))

    @property
    def step_tokens(self) -> int:
        """Most tokens of a step."""
        if isinstance(self.batch_size, int):
            return self.longest * self.batch_size
        return max(self.batch_size.tokens, self.longest)

    @property
    def tokens(self) -> float | None:
        """Tokens of all epochs."""
        return None if self.rows is None else self.epochs * self.rows * self.row_tokens

    def largest(self, most_tokens: int, *, packed: bool) -> Largest:
        """The largest passes when the loop lays these rows out, with at most `most_tokens` positions in each."""
        batch = self.batch_size
        plan = (
            BatchPlan(self.lengths, batch, seed=0)
            if isinstance(batch, int)
            else order.shuffled(self.lengths, batch.tokens, seed=0)
        )
        steps = plan.epoch(0)
        longest_first = sorted(steps, key=lambda members: -int(self.lengths[members].max()))[:STEPS_LOOKED_AT]
        laid_out = [
            packing.passes(members, self.lengths, most_tokens=most_tokens, packed=packed) for members in longest_first
        ]
        shapes = [
            Shape(len(one.rows), one.width, later=place > 0) for step in laid_out for place, one in enumerate(step)
        ]
        ends = {
            max((shape for shape in shapes if (shape.later, shape.short) == kind), key=size, default=shapes[0])
            for kind in product((False, True), repeat=2)
            for size in (_by_tokens, _by_attention)
        }
        found = tuple(sorted(one for one in ends if not any(other.covers(one) for other in ends - {one})))
        return Largest(found, max(map(len, laid_out)))


def workload(recipe: Recipe, context_tokens: int, data: Lengths | None) -> Workload:
    """What the recipe makes of the data.

    Args:
        recipe: Sampling, split, augmentation, epochs.
        context_tokens: Longest row.
        data: Of the rows looked at; None if there are none at hand.
    """
    section, batch = recipe.prepare, recipe.train.batch_size
    kept = data.rows if data else (section.sample.rows if section.sample else None)
    tokens = data.tokens if data else np.full(_rows(batch, context_tokens), context_tokens, dtype=np.int64)
    validation = _size(section.split.validation, kept)
    rows = None if kept is None else max(1, kept - validation - _size(section.split.test, kept))
    copies = 0 if isinstance(section.augment, NoAugmentation) else section.augment.copies
    return Workload(
        rows=None if rows is None else rows * (1 + copies),
        validation_rows=validation,
        lengths=np.minimum(tokens, context_tokens),
        learnt=data.learnt if data else 1.0,
        epochs=recipe.train.epochs,
        batch_size=batch,
        measured=data is not None,
    )


def _by_tokens(shape: Shape) -> tuple[int, int]:
    return shape.tokens, shape.width


def _by_attention(shape: Shape) -> tuple[int, int]:
    return shape.tokens * shape.width, shape.tokens


def _rows(batch: int | Tokens, context_tokens: int) -> int:
    """Rows of a step, all of them as long as can be."""
    return batch if isinstance(batch, int) else max(1, batch.tokens // context_tokens)


def _size(part: float, rows: int | None) -> int:
    """Rows of a split that is given as a share or as a number."""
    if part >= 1 and float(part).is_integer():
        return int(part)
    return round(part * rows) if rows else 0
