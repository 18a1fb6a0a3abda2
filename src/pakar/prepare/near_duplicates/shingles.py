"""Texts as sets of hashed word sequences (shingles), after Broder (1997), for a whole column at once.

Hashes depend on the text and the constants below only: they are equal on every machine, in every version and for every
split of a table into batches, so they can be stored, exchanged and compared later.

What a word is: a run of letters, digits and combining marks; case, width (NFKC), punctuation, symbols and white space do
not count, as in `pakar.text.key`. In scripts written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) every
character with its marks is a word of its own, so a sequence of n words is one of n characters there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

Hashes = npt.NDArray[np.uint64]
Offsets = npt.NDArray[np.int64]

WORDS = 5
"""Words per shingle; the default of datatrove's MinHash and of FineWeb (Penedo et al. 2024)."""

_NOT_WORD = r"[^\p{L}\p{M}\p{N}\x00-\x7F]"
_ASCII_WORD = "[0-9A-Za-z]"
_SPACELESS = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*)"
_BYTE_FACTOR = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
_WORD_FACTOR = 0xD1342543DE82EF95
_BLOCK = 2**18
"""Bytes hashed at once: small enough for the processor's cache."""


class Shingles(NamedTuple):
    """Shingles of N texts, S in all; those of text i are `hashes[offsets[i]:offsets[i + 1]]`."""

    hashes: Hashes  # [S] in the order of the text, repeats included
    offsets: Offsets  # [N + 1]
    words: npt.NDArray[np.uint32]  # [N] words in each text


class Words(NamedTuple):
    """The hashed words of N texts; those of text i are `hashes[offsets[i]:offsets[i + 1]]`."""

    hashes: Hashes
    offsets: Offsets  # [N + 1]


def shingles(texts: pl.Series, size: int = WORDS) -> Shingles:
    """The hashes of all sequences of `size` words of each text; nulls are empty texts."""
    return sequences(hashed_words(texts), size)


def hashed_words(texts: pl.Series) -> Words:
    """The hash of every word. A text without any (`"!?"`, an emoji) is one word of its characters, unless it is blank."""
    data, rows = _bytes(_fold(texts))
    hashes, starts = _hash(data)
    return Words(hashes, np.searchsorted(starts, rows))


def sequences(words: Words, size: int) -> Shingles:
    """The hashes of all sequences of `size` words of each text, with regard to their order.

    A text of fewer words is one shingle made of all of them: short texts have a shingle in common only when they are
    equal up to case and punctuation. A blank text has none.
    """
    lengths = np.diff(words.offsets)
    counts = np.where(lengths == 0, 0, np.maximum(lengths - size + 1, 1))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    begins = np.arange(offsets[-1]) + np.repeat(words.offsets[:-1] - offsets[:-1], counts)
    taken = np.repeat(np.minimum(lengths, size), counts)
    ragged = bool((taken < size).any())
    hashes = np.concatenate([words.hashes, np.zeros(size, dtype=np.uint64)])  # a short text at the end reads over it
    sums = np.zeros(len(begins), dtype=np.uint64)
    for place, power in enumerate(_powers(_WORD_FACTOR, size)):
        part = hashes[begins + place] * power
        sums += np.where(place < taken, part, np.uint64(0)) if ragged else part
    return Shingles(mix(sums), offsets, lengths.astype(np.uint32))


def mix(values: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014): a bijection after which every bit depends on all bits."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _fold(texts: pl.Series) -> pl.Series:
    """Texts in which bytes alone tell words: what is neither ASCII nor part of a word has become a space."""
    text = pl.col("text")
    folded = text.str.normalize("NFKC").str.to_lowercase()
    folded = folded.str.replace_many(["ß", "ς"], ["ss", "\N{GREEK SMALL LETTER SIGMA}"])
    folded = folded.str.replace_all(_NOT_WORD, " ").str.replace_all(_SPACELESS, " $1 ")
    digits = text.str.strip_chars().str.encode("hex")  # stand for what has no word in it
    rows = texts.cast(pl.String).fill_null("").to_frame("text").with_row_index()
    others = rows.filter((text.str.len_bytes() != text.str.len_chars()) | ~text.str.contains(_ASCII_WORD))
    if others.is_empty():
        return rows["text"]
    has_word = folded.str.contains(_ASCII_WORD + r"|[^\x00-\x7F]")
    return rows.update(others.select("index", pl.when(has_word).then(folded).otherwise(digits)), on="index")["text"]


def _bytes(texts: pl.Series) -> tuple[npt.NDArray[np.uint8], Offsets]:
    """All texts as one row of lower-case bytes, 0 where no word is, and where each text begins [N + 1]."""
    ended = texts + " "  # so that words of neighbouring texts stay apart
    rows = np.concatenate([[0], np.cumsum(ended.str.len_bytes().to_numpy(), dtype=np.int64)])
    data = np.frombuffer(ended.str.join("").item().encode(), dtype=np.uint8)
    return _table()[data], rows


def _table() -> npt.NDArray[np.uint8]:
    """What becomes of each byte: letters are lower-cased, digits and parts of other characters stay, the rest is 0."""
    kept = bytes(range(256)).lower()
    return np.array([b if b >= 128 or chr(b).isalnum() else 0 for b in kept], dtype=np.uint8)


def _hash(data: npt.NDArray[np.uint8]) -> tuple[Hashes, Offsets]:
    """Hash and first byte of every word in `data`."""
    blocks = list(_blocks(data))
    longest = max((stop - start for start, stop in blocks), default=0)
    powers = _powers(_BYTE_FACTOR, longest)
    inverses = _powers(pow(_BYTE_FACTOR, -1, 2**64), longest)
    found = [_hash_block(data[start:stop], powers, inverses) for start, stop in blocks]
    hashes = np.concatenate([np.empty(0, np.uint64), *(hashes for hashes, _ in found)])
    begins = [begins + start for (_, begins), (start, _) in zip(found, blocks, strict=True)]
    return hashes, np.concatenate([np.empty(0, np.int64), *begins])


def _blocks(data: npt.NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Cut `data` between words into pieces of about _BLOCK bytes."""
    start = 0
    while start < len(data):
        stop = start + _BLOCK
        while stop < len(data) and (gap := np.flatnonzero(data[stop : stop + _BLOCK] == 0)).size == 0:
            stop += _BLOCK
        stop = min(len(data), stop + int(gap[0]) + 1) if stop < len(data) else len(data)
        yield start, stop
        start = stop


def _hash_block(data: npt.NDArray[np.uint8], powers: Hashes, inverses: Hashes) -> tuple[Hashes, Offsets]:
    """Hash and first byte of every word in a block.

    A word of bytes b₀ b₁ … has the hash mix(Σ bᵢ·fⁱ mod 2⁶⁴). The sum over a word that begins at byte s is the difference of
    two running sums Σ bⱼ·fʲ, divided by fˢ; f is odd and so has an inverse.
    """
    edges = np.flatnonzero(np.diff(data != 0, prepend=False, append=False))
    starts, stops = edges[::2], edges[1::2]
    sums = np.zeros(len(data) + 1, dtype=np.uint64)
    np.cumsum(data * powers[: len(data)], out=sums[1:])
    return mix((sums[stops] - sums[starts]) * inverses[starts]), starts


def _powers(factor: int, count: int) -> Hashes:
    """1, f, f², … modulo 2⁶⁴."""
    powers = np.full(count, factor, dtype=np.uint64)
    powers[:1] = 1
    return np.cumprod(powers, dtype=np.uint64)
