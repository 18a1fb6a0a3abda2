"""Bytes → characters: which encoding a text is in, and what to do with the bytes that do not fit it.

Byte order mark first, then UTF-8, then the likeliest of the old ones. Knows nothing of files.
"""

from __future__ import annotations

import codecs
import functools
import re

import charset_normalizer

UTF8 = "utf-8"

_MARKS = (
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
_WESTERN = re.compile(r"[éèêëàâäáãåçñöóòôõøüúùûíìîïæœßÉÈÊËÀÂÄÁÃÅÇÑÖÓÒÔÕØÜÚÙÛÍÌÎÏÆŒ‘’‚“”„–—…•€£©®™°·«»¡¿§´\xa0]")  # noqa: RUF001
_GUESS_BYTES = 1 << 16


def marked(head: bytes) -> str | None:
    """The encoding that a byte order mark, or the zero bytes of unmarked UTF-16, give away."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    half = len(head) // 2
    if half >= 2 and head[1::2].count(0) > 0.4 * half and head[::2].count(0) < 0.1 * half:
        return "utf-16-le"
    if half >= 2 and head[::2].count(0) > 0.4 * half and head[1::2].count(0) < 0.1 * half:
        return "utf-16-be"
    return None


def guess(sample: bytes) -> str:
    """The likeliest encoding of unmarked bytes.

    Text with more well-formed multi-byte characters than stray bytes is UTF-8 with damage; to take it for an old
    encoding would spoil every accent in it for the sake of a few.
    """
    decoder = codecs.getincrementaldecoder(UTF8)("surrogateescape")
    text = decoder.decode(sample)
    stray = len(_ESCAPED_BYTE.findall(text))
    if not stray or sum(not character.isascii() for character in text) - stray > stray:
        return UTF8
    return _guess_old(sample)


def _guess_old(sample: bytes) -> str:
    """Western text is told by its letters: on short texts the general detector takes it for a neighbour of cp1252."""
    around = max(0, next(i for i, byte in enumerate(sample) if byte > 127) - _GUESS_BYTES // 8)
    sample = sample[around : around + _GUESS_BYTES]
    strange = [c for c in sample.decode("cp1252", "replace") if not c.isascii()]
    few = len(strange) < max(0.3 * len(sample), 10)
    if few and sum(map(bool, map(_WESTERN.match, strange))) >= 0.95 * len(strange):
        return "cp1252"
    best = charset_normalizer.from_bytes(sample).best()
    return best.encoding if best and best.encoding not in {"ascii", "utf_8"} else "cp1252"


def mend(text: str) -> str:
    """Replace bytes that were not UTF-8 (kept by `surrogateescape`) by what they mean in cp1252, the usual culprit."""
    return text.translate(_cp1252_of_escaped_bytes()) if _ESCAPED_BYTE.search(text) else text


def holds_stray_bytes(text: str) -> bool:
    """Whether `mend` would change `text`."""
    return _ESCAPED_BYTE.search(text) is not None


def without_surrogates(text: str) -> str:
    """`text` with every lone surrogate replaced by U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


@functools.cache
def _cp1252_of_escaped_bytes() -> dict[int, str]:
    return {0xDC00 + byte: bytes([byte]).decode("cp1252", "replace") for byte in range(0x80, 0x100)}
