"""What a training shows at the terminal while it runs: one line of figures under a bar, and the course of the loss as a small line.

Where there is no terminal, a plain line appears about every ten seconds, so that logs stay readable.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pakar import progress

BARS = "▁▂▃▄▅▆▇█"
SPARKS = 40
"""Columns of the small line; each stands for the mean loss of as many steps as it takes."""


class Standing(NamedTuple):
    """Where a training stands when it begins or goes on.

    Attributes:
        step: Steps done.
        total_steps: Steps if nothing stops early.
        best_loss: Lowest validation loss so far, in nats per token; None before the first measurement.
        best_step: Its step.
        last_loss: Latest validation loss.
    """

    step: int
    total_steps: int
    best_loss: float | None = None
    best_step: int = 0
    last_loss: float | None = None


class Display:
    """Figures of the latest step.

    Args:
        standing: Where the training begins.
    """

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._first_step = standing.step
        self._started = self._said = time.monotonic()
        self._latest: Mapping[str, Any] = {}
        self._losses = Course(SPARKS)
        self._speeds: deque[float] = deque(maxlen=20)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take the record of a step; without a terminal, say a line if the last one was a while ago."""
        self._latest = record
        self._standing = _after(self._standing, record)
        self._losses.add(float(record["loss"]))
        self._speeds.append(float(record["tokens_per_second"]))
        if not progress.console.is_terminal and time.monotonic() - self._said >= progress.SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            progress.note(f"  training: {', '.join(self.figures())}")

    def figures(self) -> list[str]:
        """Step, losses, learning rate, speed, memory and time left, each in words."""
        now, latest = self._standing, self._latest
        found = [f"step {now.step:,} of {now.total_steps:,}"]
        if latest:
            found.append(f"loss {latest['loss']:.3f}")
        if now.last_loss is not None and now.best_loss is not None:
            best = f" (best {now.best_loss:.3f} at {now.best_step:,})" if now.best_loss < now.last_loss else " (best)"
            found.append(f"validation {now.last_loss:.3f}{best}")
        if latest:
            found.append(f"learning rate {latest['learning_rate']:.2g}")
            found.append(f"{sum(self._speeds) / len(self._speeds):,.0f} tokens/s")
        if latest.get("memory_bytes"):
            found.append(f"{latest['memory_bytes'] / 2**30:.1f} GiB")
        if now.step > self._first_step:
            seconds = (time.monotonic() - self._started) / (now.step - self._first_step)
            found.append(f"{duration(seconds * (now.total_steps - now.step))} left")
        return found

    def __rich__(self) -> RenderableType:
        """As the terminal shows it."""
        head = Table.grid(padding=(0, 1))
        head.add_row(
            "  training",
            ProgressBar(total=self._standing.total_steps, completed=self._standing.step, width=30),
            Text(sparkline(self._losses.means()), style="cyan"),
        )
        return Group(head, Text(f"  {' · '.join(self.figures())}", no_wrap=True, overflow="ellipsis"))


@contextmanager
def showing(standing: Standing) -> Iterator[Display]:
    """Show a training while the block runs; nothing of it stays on the terminal."""
    display = Display(standing)
    if not progress.console.is_terminal or progress.console.quiet:
        yield display
        return
    with Live(display, console=progress.console, transient=True, refresh_per_second=4):
        yield display


class Course:
    """The mean of all values so far in at most so many columns: where they fill up, every two become one."""

    def __init__(self, columns: int) -> None:
        self._columns, self._width = columns, 1
        self._sums: list[tuple[float, int]] = []

    def add(self, value: float) -> None:
        """One more value."""
        if self._sums and self._sums[-1][1] < self._width:
            total, count = self._sums[-1]
            self._sums[-1] = (total + value, count + 1)
            return
        if len(self._sums) == self._columns:
            pairs = zip(self._sums[::2], self._sums[1::2], strict=True)
            self._sums = [(one[0] + other[0], one[1] + other[1]) for one, other in pairs]
            self._width *= 2
        self._sums.append((value, 1))

    def means(self) -> list[float]:
        """The mean of every column, in order."""
        return [total / count for total, count in self._sums]


def sparkline(values: Sequence[float]) -> str:
    """Values as bars of eight heights, from the lowest to the highest of them.

    >>> sparkline([3.0, 2.0, 1.5, 1.0])
    '█▅▃▁'
    """
    known = [value for value in values if math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    span = (high - low) or 1.0
    return "".join(
        BARS[round((value - low) / span * (len(BARS) - 1))] if math.isfinite(value) else " " for value in values
    )


def duration(seconds: float) -> str:
    """Seconds in the two largest units.

    >>> duration(3725)
    '1 h 2 min'
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days {hours % 24} h"


def _after(standing: Standing, record: Mapping[str, Any]) -> Standing:
    now, measured = standing._replace(step=int(record["step"])), record.get("validation_loss")
    if measured is None:
        return now
    now = now._replace(last_loss=measured)
    better = now.best_loss is None or measured < now.best_loss
    return now._replace(best_loss=measured, best_step=now.step) if better else now
