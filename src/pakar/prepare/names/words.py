"""Texts to words, and words to the features whose vectors the tagger sums.

A feature is a short string such as `p=smi`; its CRC-32 picks a row of one shared table (the hashing trick of Weinberger
et al. 2009, used as in fastText, Bojanowski et al. 2017). A word never seen before still has a prefix, an ending and a shape.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from zlib import crc32

_LETTER = r"[^\W\d_][\u0300-\u036f]*"
_CLITIC = r"['\u2019](?:s|t|d|m|ll|re|ve|S)\b"
WORD = re.compile(rf"{_CLITIC}|(?:{_LETTER})+(?:(?!{_CLITIC})['\u2019](?:{_LETTER})+)*|\d+|\n+|[^\s]")
"""Words ("O'Brien" is one, "Smith's" is two, "Jean-Luc" is three), numbers, line ends and single marks."""

CASES = 5
GIVEN, SURNAME, CASE, PLACE = 1, 3, 9, 9 * CASES
"""The four parts of a lexicon entry, `given * GIVEN + surname * SURNAME + case * CASE + place * PLACE`.

`given` and `surname`: 0 not listed, 1 listed once, 2 listed more often. `case`: how often the word is capitalised inside
sentences: 0 unknown, 1 almost never, 2 seldom, 3 mostly, 4 almost always. `place`: 0 or 1.
"""
ENTRIES = 2 * PLACE
UNLISTED = ENTRIES


def folded(word: str) -> str:
    """Lower case without accents: the form under which a word is looked up."""
    if word.isascii():
        return word.lower()
    decomposed = unicodedata.normalize("NFKD", word.lower())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).replace("\u2019", "'")


def code(text: str) -> int:
    """A stable 32-bit code."""
    return crc32(text.encode("utf-8", "surrogatepass"))


def shape(word: str) -> str:
    """Letters as X and x, digits as 0, runs cut at three: `McCarthy` becomes `XxXxxx`."""
    signs = ("X" if c.isupper() else "x" if c.isalpha() else "0" if c.isdigit() else c for c in word)
    kept = ""
    for sign in signs:
        if not kept.endswith(sign * 3):
            kept += sign
    return kept[:12]


def features(word: str) -> Iterator[str]:
    """What can be read off the word alone; the word itself comes first."""
    low = folded(word)
    yield "w=" + low
    yield "x=" + shape(word)
    if low.isalpha():
        yield "p=" + low[:3]
        yield "s=" + low[-3:]
        yield "e=" + low[-2:]
        marked = f"<{low}>"
        yield from ("n=" + marked[at : at + 4] for at in range(len(marked) - 3))


def entry_features(entry: int) -> list[str]:
    """What the lexicon says about a word."""
    if entry == UNLISTED:
        return ["l=none"]
    place, rest = divmod(entry, PLACE)
    case, rest = divmod(rest, CASE)
    surname, given = divmod(rest, SURNAME)
    return [f"l={given}{surname}{case}{place}", f"gv={given}", f"sn={surname}", f"cs={case}", f"pl={place}"]
