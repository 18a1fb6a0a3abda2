"""The kernel: a batch of records through the operators of a recipe, in order. Pure; both executors run it."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from pakar.prepare.frames import REJECTED, Sieved, nothing
from pakar.prepare.operators import TOUCHED, Rows, Step, Texts

CHANGED = "changed"
"""Column with a bit for every operator of the recipe that changed something in the row; bit 0 is the first operator."""

FLAGS = "flags"
"""Column with the words that operators marked the row with."""

Seconds = defaultdict[str, float]
"""Operator → seconds spent in it."""


def begin(records: pl.DataFrame) -> pl.DataFrame:
    """Records with the columns that operators write into."""
    return records.with_columns(pl.lit([], pl.List(pl.String)).alias(FLAGS), pl.lit(0, pl.UInt64).alias(CHANGED))


def run(batch: pl.DataFrame, steps: Sequence[Step], seconds: Seconds) -> Sieved:
    """Apply the operators.

    Args:
        batch: From `begin`.
        steps: From `operators.build`.
        seconds: Grows.

    Returns:
        The rows kept, with CHANGED and FLAGS up to date, and the rows rejected.
    """
    rejected = [nothing(REJECTED)]
    for on_texts, group in itertools.groupby(enumerate(steps), lambda one: isinstance(one[1].operator, Texts)):
        if on_texts:
            batch = _on_texts(batch, group, seconds)
            continue
        for bit, step in group:
            started = time.perf_counter()
            sieved = _on_rows(batch, step, bit)
            seconds[step.name] += time.perf_counter() - started
            batch = sieved.kept
            rejected.append(sieved.rejected)
    return Sieved(batch, pl.concat(rejected))


def changes(batch: pl.DataFrame, names: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Operator → rows of `batch` in which it changed something, for those that did."""
    for bit, name in enumerate(names):
        if rows := int(((batch[CHANGED] // (1 << bit)) % 2).sum()):
            yield name, rows


def _on_rows(batch: pl.DataFrame, step: Step, bit: int) -> Sieved:
    assert isinstance(step.operator, Rows)  # noqa: S101 - for the type checker
    kept, rejected = step.operator.function(batch)
    if TOUCHED in kept.columns:
        kept = kept.with_columns(
            pl.when(TOUCHED).then(pl.col(CHANGED) | (1 << bit)).otherwise(pl.col(CHANGED)).alias(CHANGED)
        ).drop(TOUCHED)
    return Sieved(kept, rejected)


def _on_texts(batch: pl.DataFrame, steps: Iterable[tuple[int, Step]], seconds: Seconds) -> pl.DataFrame:
    """Operators on texts see the messages of all rows as one column, taken apart and put together once for all of them."""
    if batch.is_empty():
        return batch
    lengths = batch["messages"].list.len().to_numpy()
    messages = batch["messages"].explode()
    contents = messages.struct.field("content")
    changed = batch[CHANGED].to_numpy().copy()
    row_of = np.repeat(np.arange(len(batch)), lengths)
    for bit, step in steps:
        assert isinstance(step.operator, Texts)  # noqa: S101 - for the type checker
        started = time.perf_counter()
        after = step.operator.function(contents)
        differs = (after != contents).to_numpy()
        changed[row_of[differs]] |= np.uint64(1 << bit)
        contents = after
        seconds[step.name] += time.perf_counter() - started
    parts = messages.struct.unnest().with_columns(contents.alias("content"))
    return batch.with_columns(_lists(lengths, parts), pl.Series(CHANGED, changed))


def _lists(lengths: np.ndarray, parts: pl.DataFrame) -> pl.Series:
    """Messages from their parts, as flat Arrow columns: much faster than grouping them again."""
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    structs = pa.StructArray.from_arrays([part.to_arrow() for part in parts], parts.columns)
    lists = pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), structs)
    return pl.Series("messages", pl.from_arrow(lists))
