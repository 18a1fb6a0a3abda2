"""Progress and notes for the person at the terminal, on stderr. Results go to stdout and are not this module's work.

On a terminal a bar moves; elsewhere one line appears every ten seconds, so that logs stay readable.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False)
SECONDS_BETWEEN_LINES = 10.0
LIBRARIES = ("transformers", "peft", "accelerate", "bitsandbytes", "torch", "pyspark", "py4j")


def quiet() -> None:
    """Say nothing from now on (`-q`); errors are still printed by the command line."""
    console.quiet = True


def silence_libraries() -> None:
    """Advice of libraries to programmers is not for users; `-v` lets it through. Processes that this one starts inherit it."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.ERROR)


def note(text: str) -> None:
    """Say one thing."""
    console.print(text, markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """Say one thing that needs attention."""
    console.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)


class Tracker:
    """Where a long piece of work stands; `advance` is cheap enough to be called for every item."""

    def __init__(self, title: str, total: int | None, bar: Progress | None, unit: str = "") -> None:
        self.title, self.total, self.done, self.unit = title, total, 0, unit
        self._bar = bar
        self._task = bar.add_task(title, total=total, detail="") if bar else None
        self._started = self._said = time.monotonic()

    def advance(self, count: int = 1, detail: str = "") -> None:
        """`count` more items are done; `detail` is shown behind the bar."""
        self.done += count
        detail = detail or self._rate()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done, detail=detail)
        elif time.monotonic() - self._said >= SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            note(f"  {self.title}: {self.done:,}{self._of_total()}  {detail}".rstrip())

    def _rate(self) -> str:
        seconds = time.monotonic() - self._started
        return f"{self.done / seconds:,.0f} {self.unit}/s" if self.unit and seconds > 1 else ""

    def _of_total(self) -> str:
        if not self.total:
            return ""
        left = (time.monotonic() - self._started) / max(self.done, 1) * (self.total - self.done)
        return f" of {self.total:,}, {left:.0f} s left"


@contextmanager
def track(title: str, total: int | None = None, unit: str = "") -> Iterator[Tracker]:
    """Show progress of `title` while the block runs; with a unit also how many of them are done in a second."""
    if not console.is_terminal or console.quiet:
        yield Tracker(title, total, None, unit)
        return
    columns = (
        TextColumn("  {task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("eta"), TimeRemainingColumn(), TextColumn("{task.fields[detail]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        yield Tracker(title, total, bar, unit)
