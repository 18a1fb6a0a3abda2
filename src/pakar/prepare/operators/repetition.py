"""Reject rows that repeat themselves, by the rules and thresholds of Rae et al. 2021 (Gopher, arXiv 2112.11446), table A1.

Reason: `repetition`; the detail names the rule and the share found. Judged is what the model would learn to write: the words of the assistant,
or plain text. The paper's rules are for documents and it drops those under 50 words beforehand. Here answers are short, so under 50 words
nothing is dropped and the rules for n-grams are not applied; the rules for lines and paragraphs need four of them.

A share of lines or paragraphs is the part that stood in the text before; its characters are those of the lines. A share of the
commonest n-gram is all its occurrences; of duplicate n-grams, the words covered by occurrences after the first, each word counted once.
Words are parted by white space; only their characters count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pakar.conversation import LEARNT
from pakar.prepare.frames import Sieved
from pakar.prepare.operators import Rows, Tools
from pakar.prepare.rows import remove, said
from pakar.recipe.operators import Repetition

NAME = "repetition"
DUPLICATE_LINES = 0.30
DUPLICATE_PARAGRAPHS = 0.30
DUPLICATE_LINE_CHARACTERS = 0.20
DUPLICATE_PARAGRAPH_CHARACTERS = 0.20
TOP_NGRAM = {2: 0.20, 3: 0.18, 4: 0.16}
DUPLICATE_NGRAMS = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
MIN_WORDS = 50
MIN_LINES = 4
_SLICE = 2_000  # texts looked at together: their words fit into the processor's cache
_SLOT_BITS = 20


class Words(NamedTuple):
    """All words of a batch in order.

    Attributes:
        row: Which text each is from, shape (words,).
        key: A number for its spelling, shape (words,).
        size: Its characters, shape (words,).
        total: Characters of all words of each text, shape (texts,).
    """

    row: NDArray[np.int64]
    key: NDArray[np.uint64]
    size: NDArray[np.int64]
    total: NDArray[np.int64]


def find_repetition(texts: pl.Series) -> pl.Series:
    """For every text the first rule that it breaks, with the share found; null where it breaks none."""
    found = pl.Series([None], dtype=pl.String).new_from_index(0, len(texts))
    lines = [("lines", r"\n", DUPLICATE_LINES, DUPLICATE_LINE_CHARACTERS),
             ("paragraphs", r"\n\s*\n", DUPLICATE_PARAGRAPHS, DUPLICATE_PARAGRAPH_CHARACTERS)]  # fmt: skip
    for what, border, limit, character_limit in lines:
        shares = _line_shares(texts, border)
        found = _note(found, shares["share"], limit, f"duplicate {what}")
        found = _note(found, shares["characters"], character_limit, f"characters in duplicate {what}")
    long = (texts.str.count_matches(r"\S+") >= MIN_WORDS).fill_null(value=False) & found.is_null()
    return found.scatter(long.arg_true(), find_repeated_ngrams(texts.filter(long)))


def _note(found: pl.Series, shares: pl.Series, limit: float, rule: str) -> pl.Series:
    """Write the rule where it is broken and no other was noted before."""
    broken = (shares > limit).fill_null(value=False) & found.is_null()
    if not broken.any():
        return found
    told = shares.to_frame("s").select(
        pl.format("{}: {} (limit {})", pl.lit(rule), pl.col("s").round(3), pl.lit(limit))
    )
    return told.to_series().zip_with(broken, found)


def _line_shares(texts: pl.Series, border: str) -> pl.DataFrame:
    """`share` of repeated lines and of their `characters`; null for texts of few lines."""
    separated = (
        texts.str.replace_all(border, "\x1e") if border != r"\n" else texts.str.replace_all("\n", "\x1e", literal=True)
    )
    many = (separated.str.count_matches("\x1e", literal=True) >= MIN_LINES - 1).fill_null(value=False)
    index = pl.DataFrame({"row": pl.Series(range(len(texts)), dtype=pl.UInt32)})
    lines = (
        index.with_columns(separated.str.split("\x1e").alias("line")).filter(many).explode("line", empty_as_null=True)
    )
    lines = lines.with_columns(pl.col("line").str.strip_chars()).filter(pl.col("line") != "")
    sizes = pl.col("line").str.len_chars()
    again = ~pl.struct("row", "line").is_first_distinct()
    shares = lines.with_columns(again.alias("again"), sizes.alias("size")).group_by("row").agg(
        pl.when(pl.len() >= MIN_LINES).then(pl.col("again").mean()).alias("share"),
        pl.when(pl.len() >= MIN_LINES).then((pl.col("size") * pl.col("again")).sum() / pl.col("size").sum()).alias("characters"),
    )  # fmt: skip
    return index.join(shares, on="row", how="left", maintain_order="left")


def find_repeated_ngrams(texts: pl.Series) -> pl.Series:
    """The n-gram rules on texts of at least MIN_WORDS words."""
    slices = [_find_repeated_ngrams(texts[start : start + _SLICE]) for start in range(0, len(texts), _SLICE)]
    return pl.concat([pl.Series(dtype=pl.String), *slices])


def _find_repeated_ngrams(texts: pl.Series) -> pl.Series:
    found = pl.Series([None], dtype=pl.String).new_from_index(0, len(texts))
    words = _words(texts)
    for n, limit in TOP_NGRAM.items():
        found = _note(found, pl.Series(_top_share(words, n)), limit, f"characters in the commonest run of {n} words")
    for n, limit in DUPLICATE_NGRAMS.items():
        shares = _duplicate_share(words, n)
        found = _note(found, pl.Series(shares), limit, f"characters in duplicate runs of {n} words")
        if shares.max() <= min(DUPLICATE_NGRAMS.values()):
            break  # what repeats ten words repeats five: no share grows with n
    return found


def _words(texts: pl.Series) -> Words:
    index = pl.DataFrame({"row": pl.Series(range(len(texts)), dtype=pl.Int64), "word": texts.str.extract_all(r"\S+")})
    words = index.explode("word", empty_as_null=True)
    size = words["word"].str.len_chars().cast(pl.Int64).to_numpy()
    row = words["row"].to_numpy()
    total = np.bincount(row, weights=size, minlength=len(texts)).astype(np.int64)
    return Words(row, words["word"].hash().to_numpy(), size, total)


def _ngrams(words: Words, n: int) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]:
    """Start, key and characters of the runs of n words inside one text that may occur again; the key differs between texts."""
    last = len(words.row) - n + 1
    if last <= 0:
        return np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.int64)
    key = words.row[:last].astype(np.uint64)
    size = np.zeros(last, np.int64)
    for shift in range(n):
        key = (key ^ words.key[shift : shift + last]) * np.uint64(0x9E3779B97F4A7C15)  # odd, so no information is lost
        key ^= key >> np.uint64(29)
        size += words.size[shift : shift + last]
    start = np.flatnonzero(words.row[:last] == words.row[n - 1 :])
    slots = (key[start] >> np.uint64(64 - _SLOT_BITS)).astype(np.int64)
    start = start[np.bincount(slots, minlength=2**_SLOT_BITS)[slots] > 1]  # alone in its slot: it occurs once
    return start, key[start], size[start]


def _top_share(words: Words, n: int) -> NDArray[np.float64]:
    """Share of characters in the commonest n-gram that occurs at least twice, for every text."""
    start, key, size = _ngrams(words, n)
    shares = np.zeros(len(words.total))
    if len(start):
        _, first, counts = np.unique(key, return_index=True, return_counts=True)
        taken = np.where(counts > 1, counts * size[first], 0)
        np.maximum.at(shares, words.row[start[first]], taken)
    return shares / np.maximum(words.total, 1)


def _duplicate_share(words: Words, n: int) -> NDArray[np.float64]:
    """Share of characters covered by n-grams that stood in the text before, for every text."""
    start, key, _ = _ngrams(words, n)
    again = np.ones(len(start), np.bool_)
    again[np.unique(key, return_index=True)[1]] = False
    ends = np.zeros(len(words.row) + 1, np.int64)
    np.add.at(ends, start[again], 1)
    np.add.at(ends, start[again] + n, -1)
    covered = np.cumsum(ends[:-1]) > 0
    return np.bincount(words.row, weights=words.size * covered, minlength=len(words.total)) / np.maximum(words.total, 1)


def reject_repetition(batch: pl.DataFrame) -> Sieved:
    """Rows that do not repeat themselves."""
    found = find_repetition(batch.select(said(LEARNT)).to_series())
    return remove(batch, found.is_not_null(), "repetition", NAME, found)


def build(_: Repetition, __: Tools) -> Rows:
    """For `pakar.prepare.operators.build`."""
    return Rows(reject_repetition)
