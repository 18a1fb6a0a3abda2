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
    end_with(parent)


def end_with(parent: int) -> None:
    """Let this process end when its parent does: one that was killed cannot say goodbye."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)
