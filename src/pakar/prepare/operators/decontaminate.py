"""Reject rows that overlap with the questions and answers of a benchmark, so that what is measured was not learnt.

A row is contaminated if it has 13 words in a row in common with a benchmark: the longest sequence compared by Brown et
al. 2020 (GPT-3, appendix C). Messages and conversations of 8 to 12 words (8 is their shortest) must be equal. Shorter
ones ("Yes.", "What is asthma?") prove nothing. Case, punctuation and white space never count; for scripts without spaces
a character counts as a word (`pakar.prepare.near_duplicates.shingles`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from pakar.prepare import sources
from pakar.prepare.frames import Sieved, sieve
from pakar.prepare.near_duplicates.sets import distinct
from pakar.prepare.near_duplicates.shingles import Hashes, Words, hashed_words, sequences
from pakar.prepare.operators import Rows, Tools
from pakar.recipe.operators import Decontaminate

NAME = "decontaminate"
WORDS = 13
FEWEST_WORDS = 8

_DETAIL = "contamination"


def benchmark_hashes(batches: Iterable[pl.DataFrame]) -> Hashes:
    """What `decontaminate` needs to know of a benchmark, ascending: about 8 bytes for each of its words.

    Args:
        batches: The benchmark's rows; only the column `messages` is read.
    """
    parts = [_sequences(batch).hashes for batch in batches]
    return distinct(np.concatenate([np.empty(0, dtype=np.uint64), *parts]))


def decontaminate(batch: pl.DataFrame, benchmarks: Mapping[str, Hashes]) -> Sieved:
    """Rows that do not overlap with any benchmark. Reason: `contaminated`; the detail names the benchmarks.

    Args:
        batch: Rows with the columns of RECORDS.
        benchmarks: Name → what `benchmark_hashes` made of it.
    """
    found = _sequences(batch)
    hits = [found.rows[_among(found.hashes, hashes)] for hashes in benchmarks.values()]
    counts = pl.DataFrame({str(place): np.bincount(rows, minlength=len(batch)) for place, rows in enumerate(hits)})
    told = [
        pl.when(count > 0).then(pl.format("{} of its word sequences stand in {}", count, pl.lit(name)))
        for count, name in zip(map(pl.col, counts.columns), benchmarks, strict=True)
    ]
    detail = pl.concat_str(told or [pl.lit("")], separator="; ", ignore_nulls=True).alias(_DETAIL)
    marked = batch.hstack(counts.select(detail)) if benchmarks else batch.with_columns(detail)
    kept, rejected = sieve(marked, pl.col(_DETAIL) == "", "contaminated", NAME, pl.col(_DETAIL))
    return Sieved(kept.drop(_DETAIL), rejected)


def build(section: Decontaminate, _: Tools) -> Rows:
    """For `pakar.prepare.operators.build`; reads the benchmarks.

    Raises:
        DataError: a benchmark cannot be read.
    """
    benchmarks = {
        Path(source.path).name: benchmark_hashes(read.kept for read in sources.read(source))
        for source in section.against
    }
    return Rows(functools.partial(decontaminate, benchmarks=benchmarks))


class _Sequences(NamedTuple):
    hashes: Hashes  # [S]
    rows: npt.NDArray[np.int64]  # [S] number of the row in its batch


def _sequences(batch: pl.DataFrame) -> _Sequences:
    """The sequences of WORDS words of every conversation, and its shorter messages as wholes."""
    message = pl.element()
    said = message.filter(message.struct.field("role").ne_missing("system")).struct.field("content")
    messages = batch.select(pl.col("messages").list.eval(said).alias("said"))["said"]
    lengths = messages.list.len().fill_null(0).to_numpy().astype(np.int64)
    words = hashed_words(messages.explode(empty_as_null=False, keep_nulls=False))
    whole = sequences(Words(words.hashes, words.offsets[np.concatenate([[0], np.cumsum(lengths)])]), WORDS)
    long = np.repeat(whole.words >= FEWEST_WORDS, np.diff(whole.offsets))
    rows = np.repeat(np.arange(len(batch)), np.diff(whole.offsets))
    parts, row = sequences(words, WORDS), np.repeat(np.arange(len(batch)), lengths)
    short = (parts.words >= FEWEST_WORDS) & (parts.words < WORDS) & (parts.words < whole.words[row])
    hashes = np.concatenate([whole.hashes[long], parts.hashes[parts.offsets[:-1][short]]])
    return _Sequences(hashes, np.concatenate([rows[long], row[short]]))


def _among(hashes: Hashes, sought: Hashes) -> npt.NDArray[np.bool_]:
    """Which of `hashes` stand in `sought`, which is sorted."""
    if len(sought) == 0:
        return np.zeros(len(hashes), dtype=np.bool_)
    places = np.minimum(np.searchsorted(sought, hashes), len(sought) - 1)
    return np.equal(sought[places], hashes)
