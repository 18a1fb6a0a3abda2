"""In which order rows are read, where steps are measured in tokens. A pure function of lengths, seed and step number.

Every stream of rows is read in rounds: each round is a shuffle of its own, and a step takes the rows that begin within its
share of the stream. So the rows of any step are found without replaying those before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pakar import progress, recipe
from pakar.train.batches import BatchPlan

Rows = npt.NDArray[np.int64]


class Plan(Protocol):
    """Which sequences go into which step.

    Attributes:
        lengths: Tokens of each sequence.
    """

    lengths: Rows

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in which as many tokens are read as all sequences have."""
        ...

    def epoch(self, number: int) -> list[Rows]:
        """Sequence numbers of every step of an epoch (from 0)."""
        ...


@dataclass
class Stream:
    """Rows that are read round after round.

    Attributes:
        rows: Their numbers.
        lengths: Tokens of each.
        seed: Of the shuffles.
    """

    rows: Rows
    lengths: Rows
    seed: tuple[int, ...]
    _latest: tuple[int, Rows, Rows] | None = field(default=None, init=False, repr=False)

    @property
    def tokens(self) -> int:
        """Of one round."""
        return int(self.lengths.sum())

    def between(self, start: int, end: int) -> Rows:
        """The rows that begin at `start` or behind it and before `end`, both counted in tokens through all rounds."""
        found = []
        for number in range(start // self.tokens, end // self.tokens + 1):
            order, begins = self._round(number)
            here = number * self.tokens
            low, high = np.searchsorted(begins, [start - here, end - here], side="left")
            found.append(order[low:high])
        return np.concatenate(found)

    def _round(self, number: int) -> tuple[Rows, Rows]:
        """Rows in the order of a round, and the token at which each begins."""
        if self._latest is None or self._latest[0] != number:
            shuffled = np.random.default_rng((*self.seed, number)).permutation(len(self.rows))
            lengths = self.lengths[shuffled]
            self._latest = number, self.rows[shuffled], np.cumsum(lengths) - lengths
        return self._latest[1], self._latest[2]


class Part(NamedTuple):
    """A part of the training in which the streams are mixed in one proportion.

    Attributes:
        first: Its first step.
        millionths: Share of each stream in the tokens of a step; whole numbers, so that nothing is lost to rounding.
    """

    first: int
    millionths: tuple[int, ...]


WHOLE = 1_000_000


@dataclass
class TokenPlan:
    """Steps of equally many tokens from one stream or several; see `Plan`.

    Attributes:
        lengths: Tokens of each sequence.
        steps_per_epoch: As many as read all tokens once.
        streams: What is read.
        parts: How it is mixed, in order.
    """

    lengths: Rows
    steps_per_epoch: int
    streams: tuple[Stream, ...]
    parts: tuple[Part, ...]
    _latest: tuple[int, list[Rows]] | None = field(default=None, init=False, repr=False)

    def epoch(self, number: int) -> list[Rows]:
        """See `Plan`."""
        if self._latest is None or self._latest[0] != number:
            first = number * self.steps_per_epoch
            self._latest = number, [self._step(first + place) for place in range(self.steps_per_epoch)]
        return self._latest[1]

    def rounds(self, steps: int) -> list[float]:
        """How often each stream is read in so many steps."""
        return [self._read(place, steps) / stream.tokens for place, stream in enumerate(self.streams)]

    def _step(self, step: int) -> Rows:
        ends = [(self._read(place, step), self._read(place, step + 1)) for place in range(len(self.streams))]
        return np.concatenate([stream.between(*span) for stream, span in zip(self.streams, ends, strict=True)])

    def _read(self, place: int, step: int) -> int:
        """Tokens of a stream that were read before a step."""
        ends = [part.first for part in self.parts[1:]] + [max(step, self.parts[-1].first)]
        millionths = sum(
            (min(step, end) - min(step, part.first)) * part.millionths[place]
            for part, end in zip(self.parts, ends, strict=True)
        )
        return millionths * int(self.lengths.sum()) // (WHOLE * self.steps_per_epoch)


def plan_for(section: recipe.Train, lengths: Rows, supervised: Rows, seed: int) -> Plan:
    """The order that the recipe asks for.

    Args:
        section: Batch size, order, epochs, schedule.
        lengths: Tokens of each sequence.
        supervised: Those of them that carry loss; where all but the first do, a sequence is running text.
        seed: Of all shuffles.
    """
    if not isinstance(section.batch_size, recipe.Tokens):
        return BatchPlan(lengths, section.batch_size, seed)
    is_text = supervised >= lengths - 1
    if not isinstance(section.order, recipe.TextThenConversations):
        return shuffled(lengths, section.batch_size.tokens, seed)
    if is_text.all() or not is_text.any():
        progress.note("train.order: the rows are all of one kind, so they are shuffled")
        return shuffled(lengths, section.batch_size.tokens, seed)
    return _text_first(section, section.order, lengths, is_text, seed)


def shuffled(lengths: Rows, tokens: int, seed: int) -> TokenPlan:
    """All rows in one stream, in steps of about so many tokens."""
    stream = Stream(np.arange(len(lengths)), lengths, (seed,))
    return TokenPlan(lengths, steps_of(lengths, tokens), (stream,), (Part(0, (WHOLE,)),))


def steps_of(lengths: Rows, tokens: int, *, largest_share: float = 1.0) -> int:
    """Steps in which all tokens are read once; none may be empty, so a step is no shorter than the longest row.

    Args:
        lengths: Tokens of each sequence.
        tokens: Wanted in a step.
        largest_share: Of a step that comes from one stream.
    """
    return max(1, int(lengths.sum() // max(tokens, lengths.max() / largest_share)))


def _text_first(
    section: recipe.Train,
    wanted: recipe.TextThenConversations,
    lengths: Rows,
    is_text: npt.NDArray[np.bool_],
    seed: int,
) -> TokenPlan:
    assert isinstance(section.batch_size, recipe.Tokens)  # noqa: S101 - narrows a type for the checker
    kinds = (np.flatnonzero(is_text), np.flatnonzero(~is_text))
    streams = tuple(Stream(rows, lengths[rows], (seed, place)) for place, rows in enumerate(kinds))
    early, late = round(wanted.early * WHOLE), round(wanted.late * WHOLE)
    mixed = ((WHOLE - early, early), (late, WHOLE - late))
    share = min(max(mixture) for mixture in mixed) / WHOLE
    steps = steps_of(lengths, section.batch_size.tokens, largest_share=share)
    total = section.epochs * steps
    turn = total - round(section.schedule.decay * total)
    made = TokenPlan(lengths, steps, streams, (Part(0, mixed[0]), Part(turn, mixed[1])))
    text, talks = made.rounds(total)
    progress.note(f"train.order: text is read {text:.2g} times, conversations {talks:.2g} times; the turn is at step {turn:,} of {total:,}")  # fmt: skip
    return made
