"""What the rows of one source came to that were looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from pakar.prepare import kernel
from pakar.prepare.plan.content import SourcePlan

KEY = ["source", "offset", "part"]
"""Columns that name a row."""


@dataclass
class Look:
    """Rows of one source.

    Attributes:
        plan: The source.
        raw: Rows as they were read.
        kept: Those that would be kept.
        rejected: Those that would not.
        seconds: That reading and cleaning them took.
        names: Of the operators, in order.
        weight: Rows of the whole source that each one stands for.
    """

    plan: SourcePlan
    raw: pl.DataFrame
    kept: pl.DataFrame
    rejected: pl.DataFrame
    seconds: float
    names: Sequence[str]
    weight: float = field(init=False)

    def __post_init__(self) -> None:
        self.weight = self.plan.rows / max(self.plan.looked_at, 1)

    def changes(self) -> dict[str, int]:
        """Operator → rows that it changed."""
        cut = int(self.kept["truncated"].sum())
        return dict(kernel.changes(self.kept, self.names)) | ({"truncate": cut} if cut else {})

    def flags(self) -> dict[str, int]:
        """Flag → rows that carry it."""
        return dict(Counter(self.kept[kernel.FLAGS].explode(empty_as_null=False).to_list()))
