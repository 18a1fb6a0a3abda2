"""The way of single rows through the operators: what each one changed, and who rejected the row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

from pakar.prepare import kernel
from pakar.prepare.frames import content
from pakar.prepare.operators import Step

NUMBER = "traced"
_KEY = ["source", "offset", "part"]


class Change(NamedTuple):
    """The texts of a row before and after one operator, all messages joined by line ends.

    Attributes:
        operator: Its name.
        before: Texts before it.
        after: Texts after it; of a row that it cut into several, those of all of them.
        pieces: The rows that it made of one; empty if it did not.
    """

    operator: str
    before: str
    after: str
    pieces: tuple[str, ...] = ()


class Rejection(NamedTuple):
    """Who rejected a row, and why."""

    operator: str
    reason: str
    detail: str


@dataclass
class Way:
    """What happened to one record.

    Attributes:
        source: File it came from.
        offset: Its number there.
        raw: Its texts as they came in.
        changes: In the order of the operators, only those that changed something.
        rejection: None if the row went on. Of a record that was cut into several, the first one counts.
        flags: What it was marked with.
    """

    source: str
    offset: int
    raw: str
    changes: list[Change] = field(default_factory=list)
    rejection: Rejection | None = None
    flags: tuple[str, ...] = ()


def trace(records: pl.DataFrame, steps: Sequence[Step]) -> list[Way]:
    """The ways of all records, in their order; a few at a time, for every operator runs on its own.

    Args:
        records: With the columns of RECORDS.
        steps: From `operators.build`.
    """
    texts = _texts(batch := kernel.begin(records).with_row_index(NUMBER))
    ways = [
        Way(source, offset, "\n".join(texts[number]))
        for number, (source, offset) in enumerate(records.select("source", "offset").iter_rows())
    ]
    for step in steps:
        keys = {tuple(key): number for number, *key in batch.select(NUMBER, *_KEY).iter_rows()}
        batch, rejected = kernel.run(batch, [step], defaultdict(float))
        after = _texts(batch)
        for number, now in after.items():
            if now != texts[number]:
                made = tuple(now) if len(now) > len(texts[number]) else ()
                ways[number].changes.append(Change(step.name, "\n".join(texts[number]), "\n".join(now), made))
        for *key, operator, reason, detail in rejected.select(*_KEY, "operator", "reason", "detail").iter_rows():
            way = ways[keys[tuple(key)]]
            if way.rejection is None:
                way.rejection = Rejection(operator, reason, detail or "")
        texts = after
    for number, flags in batch.select(NUMBER, kernel.FLAGS).iter_rows():
        ways[number].flags = tuple(flags)
    return ways


def _texts(batch: pl.DataFrame) -> dict[int, list[str]]:
    """Number of the record → its texts, one for each of the rows that it was cut into."""
    joined = batch.select(NUMBER, content().fill_null("").alias("text"))
    parted = joined.group_by(NUMBER, maintain_order=True).agg("text")
    return {int(number): list(texts) for number, texts in parted.iter_rows()}
