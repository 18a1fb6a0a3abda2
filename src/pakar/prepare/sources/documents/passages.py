"""Headings and paragraphs of a document → passages of about equal length, each with the headings that lead to it.

The first line of a passage is the path of headings to its first paragraph (`Sleep > Habits > In the evening`); headings
further on in the passage stand before their text, each on a line of its own. A heading is never parted from the text
below it, and only paragraphs more than twice as long as wanted are cut: at line ends, else at ends of sentences.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pakar.prepare.sources.opening import LONGEST_LINE

PATH_SEPARATOR = " > "
LEAST_SHARE = 0.25
"""A passage with a smaller share of the wanted words takes in the next paragraph, however long that is."""
CHARACTERS_PER_WORD = 12
"""Of scripts without spaces; in texts with spaces, words have fewer."""

_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])")  # noqa: RUF001


class Block(NamedTuple):
    """A heading or a paragraph; a list or a table counts as one paragraph of several lines."""

    text: str
    level: int = 0
    """Of headings from 1, the highest; 0: no heading."""
    page: int = 1


class Passage(NamedTuple):
    """A run of paragraphs."""

    text: str
    page: int
    """On which it begins."""


class _Unit(NamedTuple):
    """A paragraph with the headings directly above it."""

    path: tuple[str, ...]
    headings: tuple[str, ...]
    text: str
    page: int
    words: int


def passages(blocks: Iterable[Block], wanted_words: int) -> Iterator[Passage]:
    """Paragraphs are gathered while they stay within `wanted_words`."""
    gathered: list[_Unit] = []
    words = 0
    for unit in _units(blocks, wanted_words):
        if words >= LEAST_SHARE * wanted_words and words + unit.words > wanted_words:
            yield _passage(gathered)
            gathered, words = [], 0
        gathered.append(unit)
        words += unit.words
    if gathered:
        yield _passage(gathered)


def count_words(text: str) -> int:
    """Words; of scripts without spaces an estimate."""
    return max(len(text.split()), len(text) // CHARACTERS_PER_WORD if " " not in text else 0)


def _units(blocks: Iterable[Block], wanted_words: int) -> Iterator[_Unit]:
    path: list[tuple[int, str]] = []
    due: list[str] = []
    page = 1
    for block in blocks:
        page = block.page
        if block.level:
            while path and path[-1][0] >= block.level:
                path.pop()
            path.append((block.level, block.text))
            due.append(block.text)
            continue
        for piece in _pieces(block.text, wanted_words):
            yield _Unit(tuple(text for _, text in path), tuple(due), piece, page, count_words(piece))
            due = []
    if due:  # headings at the end with nothing below them
        yield _Unit((), tuple(due), "", page, 0)


def _passage(units: Sequence[_Unit]) -> Passage:
    first, *others = units
    above = [heading for heading in first.headings if heading not in first.path]
    lines = [*above, PATH_SEPARATOR.join(first.path), first.text]
    for unit in others:
        lines += [*unit.headings, unit.text]
    return Passage("\n\n".join(line for line in lines if line), first.page)


def _pieces(text: str, wanted_words: int) -> Iterator[str]:
    """`text`, cut if it is more than twice as long as wanted."""
    if count_words(text) <= 2 * wanted_words and len(text) <= LONGEST_LINE:
        yield text
        return
    separator, parts = ("\n", text.split("\n")) if "\n" in text else (" ", _SENTENCE_END.split(text))
    gathered: list[str] = []
    words = 0
    for part in parts:
        more = count_words(part)
        if gathered and words + more > wanted_words:
            yield separator.join(gathered)
            gathered, words = [], 0
        gathered.append(part)
        words += more
    yield separator.join(gathered)
