"""Kill a training again and again at random moments; a program of its own, started by `test_kills.py`.

It imports once and forks a process for every attempt, which runs the real command line and is ended by a real SIGKILL:
starting Python and torch anew fifty times would take minutes and test nothing else. Before every attempt it looks at the
checkpoints by itself, without Pakar's reading code, so that it knows which step a right resume goes on from.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pakar import cli
from tests.train import nursery

SLEEP = 0.0005
BEGUN = "goes on from step"


def main(folder: Path, arguments: list[str], kills: int, seed: int) -> None:
    """Print what happened to every attempt, as one JSON list."""
    os.chdir(folder)
    checkpoints = folder / "runs" / "tiny" / "train" / "checkpoints"
    chance = random.Random(seed)
    begins_after, window = 1.0, 0.3  # seconds; both follow what is seen
    amid_saving = False
    attempts: list[dict[str, Any]] = []
    while len(attempts) < kills:
        before = newest_whole(checkpoints)
        started = time.monotonic()
        child, told = start(["pakar", "train", *arguments])
        if len(attempts) % 5 == 4:  # every fifth at any moment before training goes on
            text = listen(child, told, at(started + chance.uniform(0, 1.1 * begins_after)))
        else:  # the others from then on, where most of the time goes into saving
            text = listen(child, told, begun(None if before is not None else checkpoints))
            begins_after = time.monotonic() - started
            amid_saving = len(attempts) % 2 == 1
            later = at(time.monotonic() + chance.uniform(0, window))
            text += listen(child, told, saving(checkpoints) if amid_saving else later)
        killed = end(child)
        text += rest(told)
        amid, after = saving(checkpoints)(text), newest_whole(checkpoints)
        attempts.append({"killed": killed, "saving": amid, "before": before, "after": after, "told": text})
        if BEGUN in text and not amid_saving:
            advanced = (after or 0) - (before or 0)
            window *= 1.5 if advanced == 0 else 0.7 if advanced > 2 else 1
        if not killed:
            break
    sys.stdout.write(json.dumps(attempts))


def at(moment: float) -> Callable[[str], bool]:
    """Whether a moment has come."""
    return lambda _: time.monotonic() >= moment


def begun(checkpoints: Path | None) -> Callable[[str], bool]:
    """Whether training goes on, as it tells; the first one, which tells nothing, by its first checkpoint."""
    return lambda told: BEGUN in told or (checkpoints is not None and any(checkpoints.glob("step-*")))


def saving(checkpoints: Path) -> Callable[[str], bool]:
    """Whether a checkpoint is being written."""
    return lambda _: any(checkpoints.glob(".step-*.tmp"))


def start(arguments: list[str]) -> tuple[int, int]:
    """Fork a process that runs the command line; its id, and where to read what it tells."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.argv = arguments
        try:
            cli.main()
        except SystemExit as left:
            os._exit(int(left.code or 0))
        finally:
            os._exit(70)
    os.close(writing)
    return child, reading


def listen(child: int, told: int, enough: Callable[[str], object]) -> str:
    """Read what the child tells until that is enough, or it has ended."""
    text = ""
    while not enough(text) and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if select.select([told], [], [], SLEEP)[0]:
            text += os.read(told, 65536).decode()
    return text


def rest(told: int) -> str:
    """What is left to read once the child has ended."""
    text = b""
    while part := os.read(told, 65536):
        text += part
    os.close(told)
    return text.decode()


def end(child: int) -> bool:
    """SIGKILL; False if the child had ended by itself."""
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def newest_whole(checkpoints: Path) -> int | None:
    """Step of the newest checkpoint whose files are as its marker lists them."""
    for directory in sorted(checkpoints.glob("step-*"), reverse=True):
        try:
            listed = json.loads((directory / "COMMIT.json").read_text())["files"]
        except (OSError, ValueError):
            continue
        sums = {name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in listed}
        if sums == {name: entry["sha256"] for name, entry in listed.items()}:
            return int(directory.name.removeprefix("step-"))
    return None


if __name__ == "__main__":
    nursery.import_everything()
    main(Path(sys.argv[1]), sys.argv[4:], int(sys.argv[2]), int(sys.argv[3]))
