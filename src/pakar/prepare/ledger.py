"""The ledger: where every row went. rows in = kept + rejected, or the program stops."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from pakar.errors import DataError


@dataclass
class Ledger:
    """Counts that grow while rows flow through preparation.

    Attributes:
        rows_in: Records found in the sources.
        kept: Rows that reached a split.
        rejected: Reason → rows.
        changed: Operator → rows in which it changed something and which went on.
        splits: Split → rows, without augmented ones.
        augmented: Rows made from training rows.
        groups_crossing: Groups found in more than one split.
    """

    rows_in: int = 0
    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    augmented: int = 0
    groups_crossing: int = 0

    def reject(self, rows: pl.DataFrame) -> None:
        """Count rejected rows by reason."""
        self.rejected.update(rows["reason"].to_list())

    def check(self) -> None:
        """Stop if a row was lost or a group was parted: that is a fault of the program, not of the data."""
        out = self.kept + self.rejected.total()
        if self.rows_in != out or self.kept != self.splits.total():
            raise AssertionError(
                f"rows were lost: {self.rows_in} in, {self.kept} kept, {dict(self.rejected)} rejected, {dict(self.splits)}"
            )
        if self.groups_crossing:
            raise AssertionError(f"{self.groups_crossing} groups stand in more than one split")

    def check_unreadable(self, unreadable: int, allowed: float) -> None:
        """Stop if too many rows could not even be read.

        Raises:
            DataError: more than the allowed share.
        """
        if unreadable > allowed * self.rows_in:
            raise DataError(f"{unreadable:,} of {self.rows_in:,} rows could not be read; {self.summary()}; allowed is a share of {allowed:g}",
                            next_step="look at the rejected rows in the run directory, name format, encoding or shape of the source in the "
                            "recipe, or allow more with --set prepare.max_unreadable=…")  # fmt: skip

    def summary(self) -> str:
        """Rejections in one line."""
        return ", ".join(f"{reason} {count:,}" for reason, count in self.rejected.most_common()) or "nothing rejected"

    def as_json(self) -> dict[str, Any]:
        """The content of ledger.json."""
        return {
            "rows_in": self.rows_in,
            "kept": self.kept,
            "rejected": dict(sorted(self.rejected.items())),
            "changed": dict(sorted(self.changed.items())),
            "splits": {name: self.splits[name] for name in ("train", "validation", "test")},
            "augmented": self.augmented,
            "groups_crossing": self.groups_crossing,
        }
