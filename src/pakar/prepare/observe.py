"""What the first task notes about the rows it reads, beside cleaning them: how they came in, and what changed in a few."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import polars as pl

from pakar.prepare import statistics
from pakar.prepare.excerpts import Collector
from pakar.prepare.kernel import Seconds
from pakar.prepare.operators import Step


class Observer:
    """Grows batch by batch; its report is a part of the task's.

    Args:
        steps: The recipe's operators.
        seconds: Grows by the time that observing takes.
    """

    def __init__(self, steps: Sequence[Step], seconds: Seconds) -> None:
        self._seconds = seconds
        self._words: list[statistics.Columns] = []
        self._labels: Counter[str] = Counter()
        self._excerpts = Collector(steps)

    def add(self, raw: pl.DataFrame, kept: pl.DataFrame) -> None:
        """Take a batch as it came in, and what went on."""
        started = time.perf_counter()
        self._words.append(statistics.words(raw))
        self._labels.update(statistics.labels(raw))
        self._excerpts.add(raw, kept)
        self._seconds["statistics"] += time.perf_counter() - started

    def report(self) -> dict[str, Any]:
        """Plain values: `before` (words of each column), `labels` (rows), `excerpts`."""
        return {
            "before": statistics.added(self._words),
            "labels": statistics.few(self._labels),
            "excerpts": self._excerpts.excerpts(),
        }
