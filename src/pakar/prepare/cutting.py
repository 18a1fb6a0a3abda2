"""Cut a long text where it hurts least: between paragraphs, sentences or words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

Spans = Callable[[str, int], list[tuple[int, int]]]
"""First and last position (exclusive) of at most so many units, from the beginning of a text."""

_PARAGRAPH = re.compile(r"\n\s*\n")
_SENTENCE = re.compile(r"[.!?…][\"'”’)\]]*(?=\s)|[。！？]|\n")  # noqa: RUF001 - full stops of Chinese and Japanese
_SPACE = re.compile(r"\s+")
_LONGEST_BORDER = 16
_WORD = re.compile(r"\S+")


def word_spans(text: str, limit: int) -> list[tuple[int, int]]:
    """Words parted by white space."""
    return [match.span() for match, _ in zip(_WORD.finditer(text), range(limit), strict=False)]


def token_spans(tokenizer: Any) -> Spans:
    """Tokens of a fast tokenizer. Only as much of the text is tokenised as is needed."""

    def spans(text: str, limit: int) -> list[tuple[int, int]]:
        seen = limit * 8 + 64
        while True:
            found = tokenizer(text[:seen], add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            offsets: list[tuple[int, int]] = found["offset_mapping"]
            if len(offsets) > limit + 1 or seen >= len(text):
                return offsets[:limit]
            seen *= 2

    return spans


def cut_at(text: str, limit: int, spans: Spans | None, *, near: float, paragraphs: bool = False) -> int:
    """Where to cut so that at most `limit` units (characters if `spans` is None) stand before the cut; the text's length if it fits.

    The last end of a paragraph (if asked for) or else of a sentence is taken if it lies behind the share `near` of what may stay;
    else the last white space, else the limit itself, but never inside a letter and its accents.
    """
    allowed = limit
    while True:
        at = _cut(text, allowed, spans, borders=[_PARAGRAPH, _SENTENCE] if paragraphs else [_SENTENCE], near=near)
        allowed -= 1
        # Tokens can fall otherwise once the text is cut, and a letter of many tokens is kept whole.
        if spans is None or allowed < 1 or len(spans(text[:at].rstrip(), limit + 1)) <= limit:
            return at


def _cut(text: str, limit: int, spans: Spans | None, *, borders: Sequence[re.Pattern[str]], near: float) -> int:
    hard = _hard(text, limit, spans)
    if hard >= len(text):
        return len(text)
    hard += text[hard].isspace()
    for border in borders:
        found = border.finditer(text, max(0, int(hard * near) - _LONGEST_BORDER), min(hard + 1, len(text)))
        ends = [match.end() for match in found if hard * near <= match.end() <= hard]
        if ends:
            return ends[-1]
    spaces = [match.start() for match in _SPACE.finditer(text, 1, hard)]
    return spaces[-1] if spaces else _between_letters(text, hard)


def _hard(text: str, limit: int, spans: Spans | None) -> int:
    """Behind the last unit that may stay."""
    if spans is None:
        return min(limit, len(text))
    found = spans(text, limit)
    whole = len(found) < limit or not text[found[-1][1] :].strip()
    return len(text) if whole else found[-1][1]


def _between_letters(text: str, cut: int) -> int:
    at = cut
    while at > 1 and (unicodedata.combining(text[at]) or text[at] in "\u200d\ufe0f" or text[at - 1] == "\u200d"):
        at -= 1
    return at if at > 1 else cut


def pieces(text: str, limit: int, spans: Spans | None, *, near: float) -> list[str]:
    """Consecutive pieces of at most `limit` units; joined they are the text, but for white space at the cuts.

    A letter of more tokens than `limit` is a piece of its own.
    """
    cut: list[str] = []
    text = text.strip()
    start, size = 0, 8 * limit + 64
    while start < len(text):
        window = text[start : start + size]  # a long text is not copied for every piece
        at = cut_at(window, limit, spans, near=near, paragraphs=True)
        if at == len(window) and start + size < len(text):
            size *= 2
            continue
        cut.append(window[:at].rstrip())
        start += at
        start += len(text[start : start + size]) - len(text[start : start + size].lstrip())
    return cut
