"""What travels between the readers: a row as the file holds it, a record as training needs it, and what is neither."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa

from pakar.conversation import Conversation
from pakar.prepare.frames import EXCERPT, RECORDS, REJECTED, Sieved
from pakar.prepare.sources.characters import without_surrogates

OPERATOR = "read"
"""Stands in the `operator` column of rows that a reader rejects."""

BATCH_ROWS = 10_000
BATCH_CHARACTERS = 16_000_000


class Row(NamedTuple):
    """One record of a file, column by column, before anyone asked what it means."""

    offset: int
    """Record number from 1; of JSON Lines and text the line number."""
    values: dict[str, Any]
    source: str = ""
    """File inside a folder; empty: the source's own name."""


class Broken(NamedTuple):
    """One record that cannot be used, and why."""

    offset: int
    reason: str
    detail: str
    text: str
    part: int = 0
    source: str = ""


class Record(NamedTuple):
    """One conversation."""

    offset: int
    messages: Conversation
    part: int = 0
    group: str | None = None
    source: str = ""


def batches(outcomes: Iterable[Record | Broken], source: str) -> Iterator[Sieved]:
    """Gather outcomes into tables of at most about 10,000 rows or 16 million characters."""
    kept: list[Record] = []
    rejected: list[Broken] = []
    characters = 0
    for outcome in outcomes:
        if isinstance(outcome, Record):
            kept.append(outcome)
            characters += sum(len(message.content) for message in outcome.messages)
        else:
            rejected.append(outcome._replace(text=outcome.text[:EXCERPT]))
            characters += min(len(outcome.text), EXCERPT)
        if len(kept) + len(rejected) >= BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield Sieved(_kept_table(kept, source), _rejected_table(rejected, source))
            kept, rejected, characters = [], [], 0
    if kept or rejected:
        yield Sieved(_kept_table(kept, source), _rejected_table(rejected, source))


def _kept_table(records: list[Record], source: str) -> pl.DataFrame:
    """Built as flat Arrow columns: ten times faster than from a list of lists of dictionaries."""
    ends = [0]
    for record in records:
        ends.append(ends[-1] + len(record.messages))
    messages = [message for record in records for message in record.messages]
    pairs = pa.StructArray.from_arrays(
        [_strings([message.role for message in messages]), _strings([message.content for message in messages])],
        ["role", "content"],
    )
    columns = {
        "source": _strings([record.source or source for record in records]),
        "offset": pa.array([record.offset for record in records], pa.uint64()),
        "part": pa.array([record.part for record in records], pa.uint32()),
        "group": _strings([record.group for record in records]),
        "messages": pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), pairs),
    }
    return pl.DataFrame(pl.from_arrow(pa.table(columns))).cast(RECORDS)


def _rejected_table(broken: list[Broken], source: str) -> pl.DataFrame:
    columns = {
        "source": _strings([one.source or source for one in broken]),
        "offset": pa.array([one.offset for one in broken], pa.uint64()),
        "part": pa.array([one.part for one in broken], pa.uint32()),
        "reason": _strings([one.reason for one in broken]),
        "operator": _strings([OPERATOR] * len(broken)),
        "detail": _strings([one.detail for one in broken]),
        "text": _strings([one.text for one in broken]),
    }
    return pl.DataFrame(pl.from_arrow(pa.table(columns))).cast(REJECTED)


def _strings(values: Sequence[str | None]) -> pa.Array:
    """JSON can hold half of a surrogate pair, which no encoding can write; it becomes U+FFFD."""
    try:
        return pa.array(values, pa.large_string())
    except UnicodeEncodeError:
        return pa.array([value and without_surrogates(value) for value in values], pa.large_string())
