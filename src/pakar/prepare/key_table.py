"""The keys of all cleaned rows as one table of arrays, and what becomes of each row; written down shard by shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from pakar.conversation import SPLITS
from pakar.examples import schema
from pakar.prepare.executor import Report
from pakar.prepare.keys import Keys
from pakar.prepare.spool import Spool
from pakar.prepare.tables import Growing

REASONS = ("duplicate", "near_duplicate", "not_sampled")
"""Why a cleaned row may be left out; its fate is `len(SPLITS)` and more."""
DUPLICATE, NEAR_DUPLICATE, NOT_SAMPLED = range(len(SPLITS), len(SPLITS) + len(REASONS))

FATES = schema(
    {
        "fate": pl.UInt8,  # number of the split, or of the reason
        "bucket": pl.UInt32,  # output file of the split
        "group": pl.UInt64,
        "copy": pl.UInt32,  # of equal rows that are all kept, which one
        "place": pl.UInt64,
        "detail": pl.String,  # of a rejected row, for a person
    }
)

COLUMNS = ("id_high", "id_low", "question_key", "group_key", "place")

Rows = npt.NDArray[np.int64]


@dataclass
class KeyTable:
    """N rows in the order of shards, and of rows in them.

    Attributes:
        spool: Holds the rows themselves.
        shards: Number of each shard and of the rows in it.
        sources: [N] number of the source of each row.
        id_high, id_low, question_key, group_key, place: [N] see `keys.KEYS`.
        fate: [N] as in FATES; all go to the first split until something else is decided.
        copy: [N] as in FATES.
        details: Row → why it was left out, where there is more to say than the reason.
    """

    spool: Spool
    shards: list[tuple[int, int]]
    sources: Rows
    id_high: Keys
    id_low: Keys
    question_key: Keys
    group_key: Keys
    place: Keys
    fate: npt.NDArray[np.uint8] = field(init=False)
    copy: npt.NDArray[np.uint32] = field(init=False)
    details: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fate = np.zeros(len(self.place), np.uint8)
        self.copy = np.zeros(len(self.place), np.uint32)

    def alive(self) -> Rows:
        """Rows that were not left out."""
        return np.flatnonzero(self.fate < len(SPLITS))

    def column(self, *names: str) -> pl.DataFrame:
        """Columns of the cleaned rows."""
        return pl.concat([pl.read_parquet(self.spool.cleaned(shard), columns=list(names)) for shard, _ in self.shards])

    def gather(self, name: str, rows: Rows) -> pl.Series:
        """A column's values in some rows, given in ascending order; reads one shard at a time."""
        parts = [
            pl.read_parquet(self.spool.cleaned(shard), columns=[name])[name].gather(rows[here] - start)
            for shard, start, here in self._cut(rows)
        ]
        return pl.concat(parts) if parts else pl.Series(name, [])

    def write(self, groups: Keys, bucket: npt.NDArray[np.uint32]) -> None:
        """Write the fates beside the shards."""
        frame = pl.DataFrame(
            {"fate": self.fate, "bucket": bucket, "group": groups, "copy": self.copy, "place": self.place}
        )
        start = 0
        for shard, count in self.shards:
            details = [self.details.get(row) for row in range(start, start + count)] if self.details else [None] * count
            with Growing(self.spool.fates(shard), FATES) as file:
                file.add(frame.slice(start, count).with_columns(pl.Series("detail", details, pl.String)))
            start += count

    def _cut(self, rows: Rows) -> Iterator[tuple[int, int, slice]]:
        """For every shard that has some of `rows`: its number, its first row, and which of `rows` they are."""
        start = 0
        for shard, count in self.shards:
            low, high = np.searchsorted(rows, [start, start + count])
            if low < high:
                yield shard, start, slice(int(low), int(high))
            start += count


def read(spool: Spool, cleaned: Sequence[Report]) -> KeyTable:
    """The keys of all shards that hold cleaned rows."""
    shards = [(int(report["number"]), int(report["kept"])) for report in cleaned]
    numbers = np.array([report["source"] for report in cleaned], np.int64)
    whole = pl.concat([pl.read_parquet(spool.cleaned(shard), columns=list(COLUMNS)) for shard, _ in shards])
    sources = np.repeat(numbers, [rows for _, rows in shards])

    def key(name: str) -> Keys:
        return whole[name].to_numpy().copy()

    return KeyTable(
        spool, shards, sources,
        id_high=key("id_high"), id_low=key("id_low"), question_key=key("question_key"), group_key=key("group_key"),
        place=key("place"),
    )  # fmt: skip
