"""The embedded executor: streams the sources through the operators in this process, batch by batch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from pakar import progress
from pakar.examples import SCHEMA, schema
from pakar.models.prompt import Renderer
from pakar.prepare import keys, sources
from pakar.prepare.frames import REJECTED, Sieved
from pakar.prepare.keys import Groups
from pakar.prepare.ledger import Ledger
from pakar.prepare.operators import CLEANERS, clean_messages
from pakar.prepare.operators.context import TOKEN_COLUMNS, fit_context
from pakar.prepare.operators.empty import reject_empty
from pakar.prepare.tables import Folder
from pakar.recipe import Prepare

SPOOL = schema({**SCHEMA, "question": pl.String, **TOKEN_COLUMNS})
"""Columns of the cleaned rows between the streaming pass and the split."""

NOT_BROKEN = ("unsupported_file",)
"""Reasons for which a reader passes something over that is not a broken row."""


@dataclass
class Streamed:
    """What the streaming pass leaves: cleaned rows on disk, and counts.

    Attributes:
        rows: Parquet files with SPOOL columns.
        questions: Question → number of its rows.
        groups: Which questions belong together.
        ledger: Everything but kept, splits and augmented rows.
        unreadable: Rows that a reader could make nothing of.
    """

    rows: list[Path] = field(default_factory=list)
    questions: Counter[str] = field(default_factory=Counter)
    groups: Groups = field(default_factory=Groups)
    ledger: Ledger = field(default_factory=Ledger)
    unreadable: int = 0
    _ids: set[str] = field(default_factory=set)
    _copies: dict[str, int] = field(default_factory=dict)


def stream(section: Prepare, renderer: Renderer, context_tokens: int, spool_dir: Path, rejected_dir: Path) -> Streamed:
    """Read every source once, clean its rows, and set aside what must be rejected.

    Raises:
        DataError: a source cannot be read at all, or more rows than allowed cannot be read.
    """
    kept, rejected = Folder(spool_dir, SPOOL), Folder(rejected_dir, REJECTED)
    done = Streamed()
    with progress.track("reading and cleaning") as tracker:
        for source in section.sources:
            for read in sources.read(source):
                sieved = _clean(read, section)
                sieved = _drop_duplicates(sieved, section, done)
                sieved = _then(sieved, fit_context(sieved.kept, renderer, context_tokens, section.too_long))
                _count(read, sieved, section, done)
                kept.add(sieved.kept.with_columns(pl.lit(value=False).alias("augmented")))
                rejected.add(sieved.rejected)
                tracker.advance(len(read.kept) + len(read.rejected))
    done.rows = kept.close()
    rejected.close()
    done.ledger.check_unreadable(done.unreadable, section.max_unreadable)
    return done


def _clean(read: Sieved, section: Prepare) -> Sieved:
    """Cleaned rows that say something; a column named after each operator tells in which rows it changed something."""
    batch = read.kept
    for name in section.clean:
        batch, changed = clean_messages(batch, CLEANERS[name])
        batch = batch.with_columns(changed.alias(name))
    return _then(read, reject_empty(batch))


def _drop_duplicates(sieved: Sieved, section: Prepare, done: Streamed) -> Sieved:
    batch = keys.add_keys(sieved.kept)
    for question, group in batch.select("question", "group").unique().iter_rows():
        done.groups.link(question, group)
    if section.duplicates == "keep":
        return Sieved(keys.number_duplicates(batch, done._copies), sieved.rejected)
    return _then(sieved, keys.reject_duplicates(batch, done._ids))


def _count(read: Sieved, sieved: Sieved, section: Prepare, done: Streamed) -> None:
    ledger = done.ledger
    ledger.rows_in += len(read.kept) + len(read.rejected)
    ledger.reject(sieved.rejected)
    for name in section.clean:
        ledger.changed[name] += int(sieved.kept[name].sum())
    ledger.changed["truncate"] += int(sieved.kept["truncated"].sum())
    done.unreadable += int((~read.rejected["reason"].is_in(NOT_BROKEN)).sum())
    done.questions.update(sieved.kept["question"].to_list())


def _then(before: Sieved, now: Sieved) -> Sieved:
    """The rows kept now, and the rows rejected before and now."""
    return Sieved(now.kept, pl.concat([before.rejected, now.rejected]))
