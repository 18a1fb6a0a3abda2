"""What changed between two texts, word by word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

BEFORE = 80
"""Characters that are shown before the first difference."""
CUT = "…"

_WORDS = re.compile(r"\n|[^\S\n]+|\w+|<[^<>\n]{0,80}>|[^\w\s]")


class Piece(NamedTuple):
    """A run of characters that both texts share, or that only one of them has."""

    kind: Literal["same", "removed", "added"]
    text: str


def words(before: str, after: str) -> list[Piece]:
    """The way from one text to the other in whole words. Meant for excerpts: time grows with the square of the length.

    >>> words("so <b>much", "so much")
    [Piece(kind='same', text='so '), Piece(kind='removed', text='<b>'), Piece(kind='same', text='much')]
    """
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    pieces: list[Piece] = []
    for kind, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            pieces.append(Piece("same", "".join(old[i:j])))
            continue
        pieces += [Piece("removed", "".join(old[i:j]))] if j > i else []
        pieces += [Piece("added", "".join(new[k:m]))] if m > k else []
    joined = list(_joined(pieces))
    return _without_tail(joined) if before.endswith(CUT) or after.endswith(CUT) else joined


def window(before: str, after: str, limit: int) -> tuple[str, str]:
    """Both texts around their first difference, at most `limit` characters of each; cuts are marked."""
    shortest = min(len(before), len(after))
    shared = next((place for place in range(shortest) if before[place] != after[place]), shortest)
    start = max(0, min(shared, max(len(before), len(after)) - limit) - BEFORE)
    if start:
        space = before.rfind(" ", 0, start)
        start = space + 1 if start - space < BEFORE // 2 else start
    return _cut(before, start, limit), _cut(after, start, limit)


def _cut(text: str, start: int, limit: int) -> str:
    return (CUT if start else "") + text[start : start + limit] + (CUT if len(text) > start + limit else "")


def _without_tail(pieces: list[Piece]) -> list[Piece]:
    """Of texts that were cut off at different places, the ends differ only for that."""
    if pieces and pieces[-1] == Piece("same", CUT):
        pieces = pieces[:-1]
    while pieces and pieces[-1].kind != "same":
        pieces = pieces[:-1]
    last = pieces[-1].text if pieces else ""
    return [*pieces[:-1], Piece("same", last if last.endswith(CUT) else last + CUT)]


def _joined(pieces: list[Piece]) -> Iterator[Piece]:
    """White space between two changes belongs to them: `[-a b-]` reads better than `[-a-] [-b-]`."""
    removed = added = ""
    for place, piece in enumerate(pieces):
        between = (
            piece.kind == "same" and 0 < place < len(pieces) - 1 and piece.text.isspace() and "\n" not in piece.text
        )
        if piece.kind != "same" or between:
            removed += piece.text if piece.kind != "added" else ""
            added += piece.text if piece.kind != "removed" else ""
            continue
        yield from _change(removed, added)
        removed = added = ""
        yield piece
    yield from _change(removed, added)


def _change(removed: str, added: str) -> Iterator[Piece]:
    if removed:
        yield Piece("removed", removed)
    if added:
        yield Piece("added", added)
