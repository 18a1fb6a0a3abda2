"""What the whole preparation would make and take, from what was measured on the rows looked at."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence

import polars as pl

from pakar import examples
from pakar.prepare import local, tokenise
from pakar.prepare.plan.content import Estimate
from pakar.prepare.plan.looked import Look
from pakar.recipe import Local, Recipe
from pakar.recipe.prepare import Executor

START = 6.0
"""Seconds until workers do their first piece: 5.6 s of processor time in each, for libraries, tokenizer and the operators of the
default recipe, measured on one core of an AMD EPYC. They start side by side."""


def estimate(looks: Sequence[Look], recipe: Recipe, context_tokens: int) -> Estimate:
    """What the whole preparation would make and take.

    Args:
        looks: One for each source.
        recipe: Says how many workers, and how many rows are drawn.
        context_tokens: Longest example.
    """
    executor = recipe.prepare.executor
    rows = tokens = learnt = seconds = disk = 0.0
    for one in looks:
        started = time.perf_counter()
        made = _written(one.kept, context_tokens)
        took = one.seconds + time.perf_counter() - started
        rows += len(one.kept) * one.weight
        tokens += int((one.kept["question_tokens"] + one.kept["answer_tokens"]).sum() or 0) * one.weight
        learnt += int(one.kept["loss_mask"].list.sum().sum() or 0) * one.weight
        seconds += took * one.weight
        disk += made * one.weight
    share = min(1.0, recipe.prepare.sample.rows / max(rows, 1)) if recipe.prepare.sample else 1.0
    whole = sum(one.plan.rows for one in looks)
    return Estimate(
        rows=round(rows * share),
        tokens=round(tokens * share),
        learnt=round(learnt * share),
        seconds=elapsed(seconds, executor),
        rows_a_second=whole / max(seconds, 1e-6),
        workers=_workers(executor),
        disk_bytes=round(disk * share),
    )


def elapsed(work: float, executor: Executor) -> float:
    """Seconds from start to end of so many seconds of `work`: the embedded executor begins in this process where it may choose."""
    workers = _workers(executor)
    if workers == 1:
        return work
    here = 0.0 if isinstance(executor, Local) and executor.workers else local.PATIENCE
    return work if work <= here else here + START + (work - here) / workers


def _workers(executor: Executor) -> int:
    return (executor.workers or local.default_workers()) if isinstance(executor, Local) else 1


def _written(kept: pl.DataFrame, context_tokens: int) -> int:
    """Bytes that examples and token shards of these rows take."""
    names = [name for name in examples.SCHEMA.names() if name in kept.columns]
    parquet, arrow = io.BytesIO(), io.BytesIO()
    kept.select(names).write_parquet(parquet, compression="zstd")
    tokenise.sequences(kept, context_tokens).write_ipc(arrow)
    return parquet.tell() + arrow.tell()
