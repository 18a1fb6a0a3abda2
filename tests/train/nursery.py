"""The command line in forks of one process that has imported everything: starting Python and torch anew takes seconds.

`python -m tests.train.nursery` reads `[folder, arguments]`, one JSON list a line, carries the command out in a fork, and
answers `[exit code, what it told]`. The processes that such a command starts for a training are forks, too.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

from tests.command import environment

NEEDED = (
    "pakar.cli", "pakar.evaluate.stage", "pakar.train.stage", "pakar.train.launch.processes", "pakar.train.launch.start",
    "pandas", "peft.tuners.lora", "torch.distributed.fsdp", "transformers.models.llama.modeling_llama",
    "transformers.trainer_utils",
)  # fmt: skip


class Told(subprocess.CompletedProcess[str]):
    """How a command ended; what it told is in `stderr`."""


class Nursery:
    """The program below, as its users see it."""

    def __init__(self, program: subprocess.Popen[str]) -> None:
        self._program = program

    def pakar(self, *words: str, cwd: Path) -> Told:
        """Run a command to the end."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(json.dumps([str(cwd), words]) + "\n")
        self._program.stdin.flush()
        code, told = json.loads(self._program.stdout.readline())
        return Told(words, code, stderr=told)


@contextmanager
def opened() -> Iterator[Nursery]:
    """Start the program; it ends with the block."""
    command = [sys.executable, "-m", "tests.train.nursery"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment()) as program:
        yield Nursery(program)


class Forked:
    """What `pakar.train.launch.processes` asks of a process that it started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        return self._look(os.WNOHANG)

    def wait(self) -> int | None:
        return self._look(0)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def _look(self, options: int) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, options)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code


def fork(work: Callable[[], Any]) -> Forked:
    """Do the work in a fork; what it returns, or leaves with, is the exit code."""
    pid = os.fork()
    if pid == 0:
        _work_and_leave(work)
    return Forked(pid)


def _work_and_leave(work: Callable[[], Any]) -> NoReturn:
    code = 70
    try:
        code = int(work() or 0)
    except SystemExit as left:
        code = int(left.code or 0)
    finally:
        sys.stderr.flush()
        os._exit(code)


def start_rank(directory: Path, rank: int, size: int, port: int) -> Forked:
    """As `processes._start`, by a fork."""
    from pakar.train.launch import process, processes  # noqa: PLC0415 - heavy; the tests above need it not

    told = processes._environment(rank, size, port)

    def work() -> int:
        os.setpgid(0, 0)
        os.environ.update(told)
        sys.argv = ["process", str(directory.resolve()), *(["--quiet"] if rank else [])]
        return process.main()

    return fork(work)


def command_line(folder: str, words: list[str], told: IO[str]) -> Callable[[], None]:
    """The command, which tells everything into a file."""
    from pakar import cli  # noqa: PLC0415 - as above

    def work() -> None:
        os.chdir(folder)
        os.dup2(told.fileno(), 1)
        os.dup2(told.fileno(), 2)
        sys.argv = ["pakar", *words]
        cli.main()

    return work


def import_everything() -> None:
    """All that a training imports sooner or later, so that no fork has to; without computing, which would start threads."""
    import torch  # noqa: PLC0415 - as above

    from pakar.models import quantise  # noqa: PLC0415

    quantise.library()  # before PEFT takes it, so that it keeps silent
    for name in NEEDED:
        importlib.import_module(name)
    torch.set_num_threads(1)
    gc.freeze()


def main() -> None:
    """Answer until there is nothing more to read."""
    import_everything()
    from pakar.train.launch import processes  # noqa: PLC0415 - as above

    vars(processes)["_start"] = start_rank
    for line in sys.stdin:
        folder, words = json.loads(line)
        with tempfile.TemporaryFile("w+") as told:
            code = fork(command_line(folder, words, told)).wait()
            told.seek(0)
            sys.stdout.write(json.dumps([code, told.read()]) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
