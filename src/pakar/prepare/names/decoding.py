"""Scores of words to names: which words, where a name starts and ends."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from pakar.prepare.names.network import Floats
from pakar.prepare.names.spans import Span

TITLES = frozenset([
    "mr", "mrs", "ms", "miss", "mx", "dr", "prof", "professor", "sir", "lady", "lord", "dame", "captain", "capt", "colonel",
    "col", "general", "gen", "major", "sergeant", "sgt", "lieutenant", "lt", "judge", "justice", "senator", "sen", "president",
    "rev", "reverend", "father", "sister", "nurse", "mme", "madame", "uncle", "aunt",
])  # fmt: skip
"""Words before a name that are no part of it."""

PARTICLES = frozenset([
    "af", "al", "ap", "bin", "bint", "d", "da", "das", "de", "del", "della", "den", "der", "di", "dos", "du", "el", "ibn", "la",
    "le", "ten", "ter", "van", "von", "zu",
])  # fmt: skip
"""Words with which a name may begin in lower case."""

SEEN_ELSEWHERE = -2.0
"""Log-odds that are enough for a word that stands in a name of several words elsewhere in the same text."""


class Token(NamedTuple):
    """A word and its place in its text; `glued`: no white space stands before it."""

    word: str
    start: int
    end: int
    glued: bool


def names_in(tokens: Sequence[Token], log_odds: Floats) -> list[Span]:
    """The names of one text. A name has a capital letter, unless nothing in the text has one but the word "I"."""
    inside = [bool(hit) and token.word[0] != "\n" for token, hit in zip(tokens, log_odds > 0, strict=True)]
    if not any(inside):
        return []
    cased = any(token.word[0].isupper() and token.word != "I" for token in tokens)
    runs = _runs(tokens, inside, cased=cased)
    names = {tokens[n].word for first, last in runs if last > first for n in range(first, last + 1)}
    names = {word for word in names if len(word) > 2 and word[0].isupper() and word.isalpha()}
    if names:
        for n, token in enumerate(tokens):
            inside[n] = inside[n] or (token.word in names and bool(log_odds[n] > SEEN_ELSEWHERE))
        runs = _runs(tokens, inside, cased=cased)
    return [Span(tokens[first].start, tokens[last].end) for first, last in runs]


def _runs(tokens: Sequence[Token], inside: Sequence[bool], *, cased: bool) -> list[tuple[int, int]]:
    """First and last word of each name."""
    closed = [hit or _bridge(tokens, inside, n) for n, hit in enumerate(inside)]
    edges = [n for n, (before, after) in enumerate(pairwise([False, *closed, False])) if before != after]
    trimmed = (_trim(tokens, first, end - 1, cased=cased) for first, end in zip(edges[::2], edges[1::2], strict=True))
    return [run for run in trimmed if run[0] <= run[1]]


def _bridge(tokens: Sequence[Token], inside: Sequence[bool], n: int) -> bool:
    """Whether the mark between two words of a name belongs to it: the dot of an initial, a hyphen."""
    if not 0 < n < len(tokens) - 1 or not (inside[n - 1] and inside[n + 1]):
        return False
    word, after = tokens[n], tokens[n + 1]
    return word.glued and ((word.word == "." and len(tokens[n - 1].word) == 1) or (word.word == "-" and after.glued))


def _trim(tokens: Sequence[Token], first: int, last: int, *, cased: bool) -> tuple[int, int]:
    """Without titles, marks and, where capital letters are used, words in lower case at the edges."""
    while first <= last and not _may_start(tokens[first].word, cased=cased):
        first += 1
    while last >= first and not _may_end(tokens[last].word, cased=cased):
        last -= 1
    return first, last


def _may_start(word: str, *, cased: bool) -> bool:
    return word.lower() not in TITLES if _may_end(word, cased=cased) else word in PARTICLES


def _may_end(word: str, *, cased: bool) -> bool:
    return word[0].isalpha() and not (cased and word[0].islower())
