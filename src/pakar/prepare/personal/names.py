"""Which names in a row mean the same person."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import NamedTuple


class Mention(NamedTuple):
    """A person is named at `text[start:end]`; `person` is the same for all names of one person in a row."""

    start: int
    end: int
    person: str


_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_POSSESSIVE = re.compile(r"['\u2019]s?\Z")
_TITLES = frozenset(["mr", "mrs", "ms", "miss", "dr", "prof", "sir", "madam", "dame", "lord", "lady", "bapak", "pak", "bu", "ibu", "tuan", "nyonya", "herr", "frau", "monsieur", "madame", "señor", "señora"])  # fmt: skip
# Names that are common words, too: they are taken for a name only where the recogniser says so.
_ALSO_WORDS = frozenset(["april", "august", "autumn", "christian", "dawn", "faith", "grace", "hope", "joy", "june", "mark", "may", "rose", "summer", "will", "young"])  # fmt: skip


def link(texts: Sequence[str], spans: Sequence[Sequence[Sequence[int]]]) -> list[list[Mention]]:
    """The mentions in each text of a row, free of overlaps and in the order of the text.

    `Anna` and `Smith` mean the person called `Anna Smith` elsewhere in the row, unless that fits several persons; then they stand for
    themselves. Words of a name that the recogniser missed in another place of the row are mentions, too.
    """
    named = [[_trimmed(text, start, end) for start, end in row] for text, row in zip(texts, spans, strict=True)]
    values = {text[start:end] for text, row in zip(texts, named, strict=True) for start, end in row}
    again = _repeated(values, texts)
    known = {_words(value) for value in values}
    return [
        [
            Mention(start, end, _person(_words(text[start:end]), known))
            for start, end in _apart(row, _places(again, text))
        ]
        for text, row in zip(texts, named, strict=True)
    ]


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without white space around it and without a possessive `'s`."""
    value = _POSSESSIVE.sub("", text[start:end].rstrip())
    lead = len(value) - len(value.lstrip())
    return start + lead, start + len(value)


def _words(name: str) -> frozenset[str]:
    """What identifies a name: its words without titles, in no order."""
    words = frozenset(word.casefold() for word in _WORD.findall(name))
    return words - _TITLES or words or frozenset([name.casefold()])


def _person(name: frozenset[str], known: Collection[frozenset[str]]) -> str:
    """The one longest name that holds all words of this one; the name itself if several do."""
    longer = [other for other in known if name <= other]
    longest = [other for other in longer if not any(other < another for another in longer)]
    return " ".join(sorted(longest[0] if len(longest) == 1 else name))


def _repeated(values: Iterable[str], texts: Iterable[str]) -> re.Pattern[str] | None:
    """Finds names and their words again, written in the same way; words that also occur in small letters are left out."""
    used = set(chain.from_iterable(_WORD.findall(text) for text in texts))
    words = {
        word
        for value in values
        for word in _WORD.findall(value)
        if len(word) > 2 and word[0].isupper() and word.casefold() not in used | _TITLES | _ALSO_WORDS
    }
    whole = {value for value in values if _WORD.search(value) and " " in value}
    names = sorted(words | whole, key=lambda name: (-len(name), name))
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, names))})(?!\w)") if names else None


def _places(pattern: re.Pattern[str] | None, text: str) -> list[tuple[int, int]]:
    return [match.span() for match in pattern.finditer(text)] if pattern else []


def _apart(first: Iterable[tuple[int, int]], second: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that share no character; those named first are kept."""
    kept: list[tuple[int, int]] = []
    for start, end in chain(first, second):
        if start < end and all(end <= left or right <= start for left, right in kept):
            kept.append((start, end))
    return sorted(kept)
