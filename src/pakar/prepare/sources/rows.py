"""What travels between the readers: a row as the file holds it, a record as training needs it, and what is neither."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import polars as pl
import pyarrow as pa

from pakar.conversation import Conversation
from pakar.errors import DataError
from pakar.prepare.frames import EXCERPT, RECORDS, REJECTED, Sieved
from pakar.prepare.sources.characters import without_surrogates
from pakar.prepare.sources.opening import DamagedError

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
    part: int = 0
    """Number of the passage in a document, from 1; else 0."""


class Broken(NamedTuple):
    """One record that cannot be used, and why."""

    offset: int
    reason: str
    detail: str
    text: str
    part: int = 0
    source: str = ""

    def shortened(self) -> Broken:
        """With an excerpt in place of a long text."""
        return self._replace(text=self.text[:EXCERPT]) if len(self.text) > EXCERPT else self


class Record(NamedTuple):
    """One conversation."""

    offset: int
    messages: Conversation
    part: int = 0
    group: str | None = None
    source: str = ""
    label: str | None = None


Outcome = TypeVar("Outcome", bound=Row | Broken | Record)


def telling_where(found: Iterable[Outcome]) -> Iterator[Outcome]:
    """`found`; an error about a file that is cut off or damaged tells which record was the last good one."""
    last = 0
    try:
        for one in found:
            yield one
            last = one.offset
    except DamagedError as error:
        raise DataError(f"{error.what}; the last good record has offset {last:,}", next_step=error.next_step) from None


def batches(outcomes: Iterable[Record | Broken], source: str) -> Iterator[Sieved]:
    """Gather outcomes into tables of at most about 10,000 rows or 16 million characters."""
    kept: list[Record] = []
    rejected: list[Broken] = []
    characters = 0
    for outcome in telling_where(outcomes):
        if isinstance(outcome, Record):
            kept.append(outcome)
            characters += sum(len(message.content) for message in outcome.messages)
        else:
            rejected.append(outcome.shortened())
            characters += len(rejected[-1].text)
        if len(kept) + len(rejected) >= BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield Sieved(_kept_table(kept, source), rejected_table(rejected, source))
            kept, rejected, characters = [], [], 0
    if kept or rejected:
        yield Sieved(_kept_table(kept, source), rejected_table(rejected, source))


def _kept_table(records: list[Record], source: str) -> pl.DataFrame:
    """Built as flat Arrow columns: ten times faster than from a list of lists of dictionaries."""
    ends = [0]
    for record in records:
        ends.append(ends[-1] + len(record.messages))
    messages = [message for record in records for message in record.messages]
    parts = {
        "role": _strings([message.role for message in messages]),
        "content": _strings([message.content for message in messages]),
        "learn": pa.array([message.learn for message in messages], pa.bool_()),
    }
    triples = pa.StructArray.from_arrays([*parts.values()], [*parts])
    columns = {
        "source": _strings([record.source or source for record in records]),
        "offset": pa.array([record.offset for record in records], pa.uint64()),
        "part": pa.array([record.part for record in records], pa.uint32()),
        "group": _strings([record.group for record in records]),
        "label": _strings([record.label for record in records]),
        "messages": pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), triples),
    }
    return pl.DataFrame(pl.from_arrow(pa.table(columns))).cast(RECORDS)


def rejected_table(broken: list[Broken], source: str) -> pl.DataFrame:
    """The rows in the form of REJECTED."""
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
