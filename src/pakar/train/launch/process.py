"""One process of a training that Pakar started: `python -m pakar.train.launch.process RUN-DIRECTORY [--quiet]`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from pakar import workers

# ruff: noqa: PLC0415 - the watch over the parent begins before the long imports


def main() -> int:
    """Train as the environment says; the exit code is the error's, whose words lie in the run directory."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until training listens: end without a traceback
    parent = os.environ.get("PAKAR_PARENT")
    if parent is not None:
        workers.end_with(int(parent))
    from pakar import progress

    if os.environ.get("TRANSFORMERS_VERBOSITY") == "error":  # as the command that started this one has set it
        progress.silence_libraries()
    if "--quiet" in sys.argv:
        progress.quiet()
    from pakar.train.launch import start
    from pakar.train.stage import fit

    return start.work(Path(sys.argv[1]), fit)


if __name__ == "__main__":
    sys.exit(main())
