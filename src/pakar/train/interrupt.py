"""Ctrl-C and SIGTERM while training: the running step is finished and saved before the process leaves."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from pakar import progress
from pakar.errors import UserError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TOLD = b"\nstopping after this step, which will be saved; once more to leave at once, back to the last checkpoint\n"


class InterruptedTrainingError(UserError):
    """Somebody asked the training to stop, and it did, at a step that can be gone on from."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(what)
        self.exit_code = 128 + number  # as shells tell which signal ended a process


class Stop:
    """Whether somebody asked for the end.

    Attributes:
        signal: The signal's number; 0 while nobody did.
    """

    def __init__(self, *, tell: bool = True) -> None:
        self.signal = 0
        self._tell = tell

    @property
    def requested(self) -> bool:
        """Leave after the running step."""
        return self.signal != 0

    def request(self, number: int, _frame: FrameType | None) -> None:
        """Note the first signal; the next one ends the process at once, as if nobody listened."""
        self.signal = number
        for listened in _SIGNALS:
            signal.signal(listened, signal.default_int_handler if listened == signal.SIGINT else signal.SIG_DFL)
        if self._tell and not progress.console.quiet:
            with suppress(OSError):  # the terminal may be gone
                os.write(
                    sys.stderr.fileno(), _TOLD
                )  # a handler may run amid another write, which a buffered one must not


@contextmanager
def listening(*, tell: bool = True) -> Iterator[Stop]:
    """Catch the signals while the block runs, but for those that are ignored; outside the main thread, where Python allows no handlers, catch none."""
    stop = Stop(tell=tell)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    listened = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # as after `nohup … &`
    before = {number: signal.signal(number, stop.request) for number in listened}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
