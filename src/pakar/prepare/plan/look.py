"""The first rows of every source through the operators: what would be kept, rejected, changed, how long it is, what it costs."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from pakar.errors import DataError
from pakar.models import base as base_models
from pakar.models import scratch
from pakar.models.prompt import renderer
from pakar.prepare import kernel, operators, sources, statistics
from pakar.prepare.clean import Job, Tools, clean_batch, tools
from pakar.prepare.frames import RECORDS, REJECTED, Sieved, nothing
from pakar.prepare.plan.content import Plan, Seen, SourcePlan
from pakar.prepare.plan.estimate import estimate
from pakar.prepare.plan.looked import Look
from pakar.prepare.plan.mask import Segment, segments
from pakar.prepare.plan.size import size
from pakar.prepare.plan.ways import ways
from pakar.prepare.scratch import texts
from pakar.prepare.sources import Reading
from pakar.recipe import Prepare, Recipe

NOTHING_TO_LEARN = ("empty_answer", "nothing_learnt", "prompt_too_long")
"""Reasons of rows whose every token would be masked."""
NAMED = 5
"""Rows of a source that are named."""
MASKS = 2
"""Examples that are shown with their mask."""
WARM_UP = 20
"""Rows that are cleaned once before the clock starts, so that loading is not taken for work."""


def look(recipe: Recipe, *, rows: int = 2_000, show: int = 0) -> Plan:
    """Look at the first rows of each source.

    Args:
        recipe: What would be done.
        rows: Of each source, at most.
        show: So many rows are followed through the operators.

    Raises:
        DataError: a source cannot be used, or holds no rows.
        RecipeError: the base model cannot be found.
    """
    readings = tuple(sources.resolve(source) for source in recipe.prepare.sources)
    at_hand, context_tokens = _tools(recipe, readings, rows)
    looks = [_look(reading, at_hand, context_tokens, rows) for reading in readings]
    if not sum(one.plan.looked_at for one in looks):
        raise DataError("the sources hold no rows", next_step="look at prepare.sources in the recipe.")
    kept = pl.concat([one.kept for one in looks])
    lengths = statistics.count(kept)["rows"] if len(kept) else {}
    return Plan(
        name=recipe.name,
        context_tokens=context_tokens,
        sources=tuple(one.plan for one in looks),
        rows=_seen(looks, lambda one: {"": len(one.kept) + len(one.rejected)})[""],
        kept=_seen(looks, lambda one: {"": len(one.kept)})[""],
        rejected=_seen(looks, lambda one: Counter(one.rejected["reason"].to_list())),
        changed=_seen(looks, Look.changes),
        flagged=_seen(looks, Look.flags),
        repeated=len(kept) - kept["id"].n_unique(),
        unlearnable=tuple(_unlearnable(looks)),
        left_out=_left_out(recipe.prepare),
        tokens=statistics.summary({int(length): n for length, n in lengths.items()}) if lengths else None,
        lengths=kept["input_ids"].list.len().cast(pl.Int64).to_numpy(),
        longest=statistics.over(lengths, context_tokens),
        estimate=estimate(looks, recipe, context_tokens),
        masks=tuple(_masks(kept, at_hand)),
        ways=tuple(ways(looks, at_hand, show)),
        private=show > 0,
    )


def _tools(recipe: Recipe, readings: tuple[Reading, ...], rows: int) -> tuple[Tools, int]:
    """What cleaning needs, and the longest example; a tokenizer that is yet to be made is learnt from the rows looked at."""
    shape, context_tokens = recipe.model.architecture, recipe.model.context_tokens
    if shape is None:
        base = base_models.find(recipe.model)
        context_tokens = min(context_tokens, base.context_limit())
        return tools(Job(recipe.model_dump_json(), readings, Path(), context_tokens)), context_tokens
    section, seed = recipe.prepare, recipe.seed
    shares = texts.taking(section.operators)
    sample = [words for reading in readings for words in texts.words(_first(reading, rows)[0].kept, shares, seed)]
    prompts = renderer(scratch.learn_tokenizer(sample, shape.vocabulary, context_tokens), recipe.model.system_prompt)
    steps = operators.build(section.operators, operators.Tools(prompts, seed))
    return Tools(seed, section, prompts, steps), context_tokens


def _unlearnable(looks: Sequence[Look]) -> Iterator[tuple[str, int]]:
    """Rows in which nothing is written that the model could learn."""
    for one in looks:
        learns = pl.col("loss_mask").list.slice(1).list.contains(1)
        empty = one.kept.filter(~learns).select("source", "offset")
        reasons = one.rejected.filter(pl.col("reason").is_in(NOTHING_TO_LEARN)).select("source", "offset")
        yield from pl.concat([reasons, empty]).sort("offset").head(NAMED).iter_rows()


def _left_out(section: Prepare) -> tuple[str, ...]:
    """Kinds of rows that are left out once all rows are known."""
    equal = ("repeated",) if section.duplicates == "reject" else ()
    return equal + (("nearly equal",) if section.near_duplicates.treatment == "reject" else ())


def _look(reading: Reading, at_hand: Tools, context_tokens: int, rows: int) -> Look:
    started = time.perf_counter()
    read, ended = _first(reading, rows)
    reading_took = time.perf_counter() - started
    looked = len(read.kept) + len(read.rejected)
    found = size(reading, looked, ended=ended)
    clean_batch(read.kept.head(WARM_UP), at_hand, context_tokens, defaultdict(float))
    started = time.perf_counter()
    sieved = clean_batch(read.kept, at_hand, context_tokens, defaultdict(float))
    cleaning_took = time.perf_counter() - started
    return Look(
        plan=SourcePlan(Path(reading.path).name, reading, found.rows, found.exact, looked),
        raw=read.kept,
        kept=sieved.kept,
        rejected=pl.concat([read.rejected, sieved.rejected]),
        seconds=reading_took + cleaning_took,
        names=[step.name for step in at_hand.steps],
    )


def _first(reading: Reading, rows: int) -> tuple[Sieved, bool]:
    """The first rows of a source, and whether these are all."""
    kept, rejected = [nothing(RECORDS)], [nothing(REJECTED)]
    left = rows
    for batch in sources.read_all(reading):
        # Readers give kept and rejected rows apart; a cut between them must not lose broken rows near the beginning.
        last = max(_offset(batch.kept, left), _offset(batch.rejected, 0))
        good = batch.kept.head(left)
        bad = batch.rejected.filter(pl.col("offset") <= last) if len(good) == left else batch.rejected
        kept.append(good)
        rejected.append(bad)
        if len(good) < len(batch.kept) or len(bad) < len(batch.rejected):
            return Sieved(pl.concat(kept), pl.concat(rejected)), False
        left -= len(good)
        if left <= 0:
            return Sieved(pl.concat(kept), pl.concat(rejected)), False
    return Sieved(pl.concat(kept), pl.concat(rejected)), True


def _offset(batch: pl.DataFrame, rows: int) -> int:
    """Offset of the last of the first `rows` rows."""
    first = batch.head(rows)
    return int(first["offset"][-1]) if len(first) else 0


def _seen(looks: Sequence[Look], counted: Any) -> dict[str, Seen]:
    """Name → rows, most frequent first; each source counts by its size."""
    looked_at: Counter[str] = Counter()
    expected: defaultdict[str, float] = defaultdict(float)
    for one in looks:
        for name, number in counted(one).items():
            looked_at[name] += number
            expected[name] += number * one.weight
    ordered = sorted(looked_at, key=lambda name: (-expected[name], name))
    return {name: Seen(looked_at[name], round(expected[name])) for name in ordered}


def _masks(kept: pl.DataFrame, at_hand: Tools) -> Iterator[tuple[Segment, ...]]:
    """The first examples in the seeded order, without those that a person should look at first."""
    unmarked = kept.filter(pl.col(kernel.FLAGS).list.len() == 0)
    for ids, mask in unmarked.bottom_k(MASKS, by="place").sort("place").select("input_ids", "loss_mask").iter_rows():
        yield tuple(segments(at_hand.renderer.tokenizer, ids, mask))
