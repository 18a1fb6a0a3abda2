"""The texts that a tokenizer is learnt from: a sample of the sources, drawn by seed and content, never by order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from pakar import text
from pakar.prepare import sources
from pakar.prepare.frames import content
from pakar.prepare.operators.shares import take_share
from pakar.prepare.sources import Reading
from pakar.recipe import Operator
from pakar.recipe.operators import Shares


def sample(found: Iterable[str], characters: int, seed: int) -> list[str]:
    """Texts of at most about so many characters in all: those with the smallest seeded places, so that order decides nothing.

    Args:
        found: All texts; memory holds about twice the sample of them.
        characters: Of the sample. Everything is taken where there is less; at least one text is.
        seed: Another seed draws others.
    """
    kept: list[tuple[str, str]] = []
    size, most = 0, 2 * characters
    for one in found:
        kept.append((text.seeded(seed, one), one))
        size += len(one)
        if size > most:
            kept, size = _first(kept, characters)
            most = size + characters  # one text may be longer than the whole sample
    return [one for _, one in _first(kept, characters)[0]]


def _first(kept: list[tuple[str, str]], characters: int) -> tuple[list[tuple[str, str]], int]:
    """Those with the smallest places, and their characters; the first that goes over the limit is the last one taken."""
    taken, size = [], 0
    for one in sorted(kept):
        if size >= characters:
            break
        taken.append(one)
        size += len(one[1])
    return taken, size


def read(readings: Sequence[Reading], operators: Sequence[Operator], seed: int) -> Iterator[str]:
    """The words of every record of the sources, but for those that the operator `shares` leaves out."""
    shares = taking(operators)
    for reading in readings:
        for batch in sources.read_all(reading):
            yield from words(batch.kept, shares, seed)


def taking(operators: Sequence[Operator]) -> list[Shares]:
    """The operators that decide which records are taken at all."""
    return [one for one in operators if isinstance(one, Shares)]


def words(batch: pl.DataFrame, shares: Sequence[Shares], seed: int) -> list[str]:
    """The words of each record of a batch that is taken."""
    for section in shares:
        batch = take_share(batch, section, seed).kept
    said = batch.select(content().fill_null("").alias("said"))["said"]
    return said.filter(said != "").to_list()
