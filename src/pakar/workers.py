"""How a worker process begins. Imports nothing heavy: libraries read the environment while they are imported."""

from __future__ import annotations

import os
import signal
import threading
import time

SINGLE_THREADED = {
    "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false",
}  # fmt: skip
"""Several workers with a thread each are faster than threads that fight over the same cores."""


def begin(parent: int) -> None:
    """Prepare a worker process: one thread, no reaction to Ctrl-C (its parent ends it), no life after its parent."""
    os.environ.update(SINGLE_THREADED)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """A parent that was killed cannot say goodbye."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
