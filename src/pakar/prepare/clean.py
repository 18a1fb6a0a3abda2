"""First task: records of one shard → cleaned, tokenised rows with their keys, and rejected rows."""

from __future__ import annotations

import functools
import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pakar import recipe_file
from pakar.models import base as base_models
from pakar.models.prompt import Renderer
from pakar.models.prompt import renderer as prompt_renderer
from pakar.prepare import kernel, keys, near_duplicates, operators, sources
from pakar.prepare.executor import Piece, Report, finish
from pakar.prepare.frames import REJECTED, Sieved
from pakar.prepare.kernel import Seconds
from pakar.prepare.observe import Observer
from pakar.prepare.operators.context import fit_context
from pakar.prepare.operators.empty import reject_empty
from pakar.prepare.sources import Reading
from pakar.prepare.spool import Spool
from pakar.prepare.tables import Growing
from pakar.recipe import Prepare

SHARD_ROWS = 20_000
"""Records of a source that has to be read in one go are handed out in shards of about so many."""
SHARD_BYTES = 64_000_000

NOT_BROKEN = ("unsupported_file", "outside_folder", "no_text", "stray_line", "no_answer")
"""Reasons for which a reader passes something over that is whole, and just no row to learn from."""


@dataclass(frozen=True)
class Job:
    """What every task of a run needs; small, and the same for all of its pieces.

    Attributes:
        recipe: As JSON, so that it can be hashed and sent.
        readings: How each source is read.
        directory: Of the prepare stage.
        context_tokens: Longest example.
        prompts: Fingerprint of the renderer: a process that stays alive must not take an older one's tools for this one's.
    """

    recipe: str
    readings: tuple[Reading, ...]
    directory: Path
    context_tokens: int
    prompts: str = ""

    @property
    def spool(self) -> Spool:
        """Where the tasks leave what the next ones need."""
        return Spool(self.directory)


class Tools(NamedTuple):
    """What is loaded once per process."""

    seed: int
    section: Prepare
    renderer: Renderer
    steps: list[operators.Step]


@functools.lru_cache(maxsize=1)
def tools(job: Job) -> Tools:
    """Load tokenizer and operators."""
    whole = recipe_file.from_json(job.recipe)
    renderer = prompt_renderer(base_models.locate(whole.model).tokenizer(), whole.model.system_prompt)
    steps = operators.build(whole.prepare.operators, operators.Tools(renderer, whole.seed))
    return Tools(whole.seed, whole.prepare, renderer, steps)


def clean(job: Job, piece: Piece) -> Report:
    """Clean one shard.

    Args:
        job: The run's.
        piece: `what` is (number of the source, shard of it), or the number of a raw shard in the spool.
    """
    at_hand, spool = tools(job), job.spool
    seconds: Seconds = Seconds(float)
    rows_in = added = unreadable = 0
    reasons: Counter[tuple[str, str]] = Counter()
    observer = Observer(at_hand.steps, seconds)
    tokens = 0
    kept = Growing(spool.cleaned(piece.number), None)
    rejected = Growing(spool.rejected(piece.number, "clean"), REJECTED)
    with kept, rejected:
        for read in _timed(_records(job, piece), seconds):
            rows_in += len(read.kept) + len(read.rejected)
            unreadable += int((~read.rejected["reason"].is_in(NOT_BROKEN)).sum())
            sieved = clean_batch(read.kept, at_hand, job.context_tokens, seconds)
            observer.add(read.kept, sieved.kept)
            out = pl.concat([read.rejected, sieved.rejected])
            # A row that was cut into several counts as so many rows.
            added += len(sieved.kept) + len(sieved.rejected) - len(read.kept)
            reasons.update(out.select("operator", "reason").iter_rows())
            tokens += int(sieved.kept["input_ids"].list.len().sum())
            kept.add(sieved.kept)
            rejected.add(out)
    source, shard = piece.what
    done = finish(
        piece,
        {
            "source": source,
            "rows": rows_in + added,
            "added": added,
            "kept": kept.rows,
            "unreadable": unreadable,
            "tokens": tokens,
            "rejected": [[operator, reason, rows] for (operator, reason), rows in sorted(reasons.items())],
            "seconds": dict(seconds),
            **observer.report(),
        },
    )
    if shard is None:
        spool.forget_raw(piece.number)
    return done


def _records(job: Job, piece: Piece) -> Iterator[Sieved]:
    source, shard = piece.what
    if shard is None:
        yield from job.spool.read_raw(piece.number)
    else:
        yield from sources.read_shard(job.readings[source], shard)


def _timed(batches: Iterator[Sieved], seconds: Seconds) -> Iterator[Sieved]:
    while True:
        started = time.perf_counter()
        batch = next(batches, None)
        seconds["read"] += time.perf_counter() - started
        if batch is None:
            return
        yield batch


def clean_batch(records: pl.DataFrame, at_hand: Tools, context_tokens: int, seconds: Seconds) -> Sieved:
    """Cleaned rows that say something and fit into the model's context, with their keys."""
    kept, rejected = kernel.run(kernel.begin(records), at_hand.steps, seconds)
    started = time.perf_counter()
    kept, empty = reject_empty(kept)
    seconds["empty"] += time.perf_counter() - started
    started = time.perf_counter()
    kept, unfit = fit_context(kept, at_hand.renderer, context_tokens, at_hand.section.too_long)
    seconds["tokenise"] += time.perf_counter() - started
    started = time.perf_counter()
    kept = keys.add_keys(kept, at_hand.seed)
    seconds["keys"] += time.perf_counter() - started
    started = time.perf_counter()
    if at_hand.section.near_duplicates.treatment != "ignore":
        kept = near_duplicates.add_bands(kept)
    seconds["near-duplicates"] += time.perf_counter() - started
    return Sieved(kept, pl.concat([rejected, empty, unfit]))


Shards = Sequence[Sequence[sources.Shard] | None]
"""The shards of each source; None: it has to be read in one go."""


def rows_in(sharded: Shards) -> int | None:
    """How many rows the sources hold, if that is known before they are read."""
    total = 0
    for shards in sharded:
        if shards is None:
            return None
        for shard in shards:
            if shard.rows is None:
                return None
            total += shard.rows
    return total


def raw_pieces(job: Job, sharded: Shards) -> Iterator[Piece]:
    """The pieces of the sources: shards where the format can be entered anywhere, else records written to the spool.

    Writing goes on while the first pieces are cleaned. What an earlier, broken run has already cleaned is only passed over.
    """
    spool, numbers = job.spool, itertools.count()
    for source, (reading, shards) in enumerate(zip(job.readings, sharded, strict=True)):
        if shards is not None:
            for shard in shards:
                number = next(numbers)
                yield Piece(number, spool.report("clean", number), (source, shard))
            continue
        for batches in gathered(sources.read_all(reading)):
            number = next(numbers)
            piece = Piece(number, spool.report("clean", number), (source, None))
            if not piece.report.exists():
                spool.write_raw(number, batches)
            yield piece


def gathered(batches: Iterable[Sieved]) -> Iterator[list[Sieved]]:
    """Batches of a reader in groups that make one shard."""
    group: list[Sieved] = []
    rows, size = 0, 0.0
    for batch in batches:
        group.append(batch)
        rows += len(batch.kept) + len(batch.rejected)
        size += batch.kept.estimated_size()
        if rows >= SHARD_ROWS or size >= SHARD_BYTES:
            yield group
            group, rows, size = [], 0, 0.0
    if group:
        yield group
