"""The embedded executor: streams the sources through the operators in this process, batch by batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from pakar import progress
from pakar.examples import SCHEMA
from pakar.models.prompt import Renderer
from pakar.prepare import keys, sources
from pakar.prepare.frames import REJECTED, Sieved
from pakar.prepare.ledger import Ledger
from pakar.prepare.operators import CLEANERS, clean_messages
from pakar.prepare.operators.context import TOKEN_COLUMNS, fit_context
from pakar.prepare.operators.empty import reject_empty
from pakar.prepare.tables import Folder
from pakar.recipe import Prepare

SPOOL = pl.Schema({**SCHEMA, **TOKEN_COLUMNS})
"""Columns of the cleaned rows between the streaming pass and the split."""


@dataclass
class Streamed:
    """What the streaming pass leaves: cleaned rows on disk, and counts.

    Attributes:
        rows: Parquet files with SPOOL columns.
        groups: Group → number of its rows.
        ledger: Everything but kept, splits and augmented rows.
    """

    rows: list[Path]
    groups: dict[str, int] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)


@dataclass
class _Seen:
    ids: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)


def stream(section: Prepare, renderer: Renderer, context_tokens: int, spool_dir: Path, rejected_dir: Path) -> Streamed:
    """Read every source once, clean its rows, and set aside what must be rejected.

    Raises:
        DataError: a source cannot be read at all, or more rows than allowed cannot be read.
    """
    kept, rejected = Folder(spool_dir, SPOOL), Folder(rejected_dir, REJECTED)
    done = Streamed(rows=[])
    seen, unreadable = _Seen(), 0
    with progress.track("reading and cleaning") as tracker:
        for source in section.sources:
            for read in sources.read(source):
                rows_in = len(read.kept) + len(read.rejected)
                unreadable += int((read.rejected["reason"] != "unsupported_file").sum())
                done.ledger.rows_in += rows_in
                sieved = _clean(read, section, done.ledger)
                sieved = _drop_duplicates(sieved, section, seen)
                sieved = _then(sieved, fit_context(sieved.kept, renderer, context_tokens, section.too_long))
                kept.add(sieved.kept.with_columns(pl.lit(value=False).alias("augmented")))
                rejected.add(sieved.rejected)
                done.ledger.reject(sieved.rejected)
                done.ledger.changed["truncate"] += int(sieved.kept["truncated"].sum())
                for group, count in sieved.kept["group"].value_counts().iter_rows():
                    done.groups[group] = done.groups.get(group, 0) + count
                tracker.advance(rows_in)
    done.rows = kept.close()
    rejected.close()
    done.ledger.check_unreadable(unreadable, section.max_unreadable)
    return done


def _clean(read: Sieved, section: Prepare, ledger: Ledger) -> Sieved:
    batch = read.kept
    for name in section.clean:
        batch, changed = clean_messages(batch, CLEANERS[name])
        ledger.changed[name] += changed
    return _then(read, reject_empty(batch))


def _drop_duplicates(sieved: Sieved, section: Prepare, seen: _Seen) -> Sieved:
    batch = keys.add_keys(sieved.kept)
    if section.duplicates == "keep":
        return Sieved(keys.number_duplicates(batch, seen.counts), sieved.rejected)
    return _then(sieved, keys.reject_duplicates(batch, seen.ids))


def _then(before: Sieved, now: Sieved) -> Sieved:
    """The rows kept now, and the rows rejected before and now."""
    return Sieved(now.kept, pl.concat([before.rejected, now.rejected]))
