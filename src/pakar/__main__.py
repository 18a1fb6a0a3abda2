"""`python -m pakar` is the same as `pakar`."""

from __future__ import annotations

import sys

from pakar.cli import main
from pakar.train import allocator


def start() -> None:
    """What the command `pakar` does: a program that trains begins again if its heap would be full of holes."""
    if sys.argv[1:2] in (["run"], ["train"]):
        allocator.begin_again()
    main()


if __name__ == "__main__":
    start()
