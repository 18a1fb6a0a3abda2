"""Several processes on this machine, watched by this one, which itself does not train.

They find each other through a store that this process keeps; it listens on the loopback address alone. The first process that
fails ends all: with its words if it left some.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch
import torch.distributed as dist

from pakar import progress
from pakar.errors import UserError
from pakar.run import Run
from pakar.train import allocator, interrupt
from pakar.train.interrupt import InterruptedTrainingError, Stop
from pakar.train.launch import failure

LOOPBACK = "127.0.0.1"
SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_TO_FOLLOW = 5.0
"""How long the others have to end by themselves when one has failed."""


def count(wanted: int | None) -> int:
    """Processes to start: as the recipe says, else one for each GPU.

    Raises:
        UserError: fewer GPUs than processes.
    """
    gpus = torch.cuda.device_count()
    if wanted is not None and 0 < gpus < wanted:
        raise UserError(f"train.launch.count = {wanted}, but this machine has {gpus} GPU(s); each process needs one of its own",
                        next_step=f"--set train.launch.count={gpus}, or leave it out.")  # fmt: skip
    return wanted or max(1, gpus)


def train(run: Run, size: int) -> None:
    """Train the run in `size` processes; returns when the model is written.

    Raises:
        UserError: what the first process that failed had to say, or that it was killed.
        ProcessFaultError: a fault of the program, with the traceback of the process.
    """
    team: list[subprocess.Popen[bytes]] = []
    with _store() as port, interrupt.listening(tell=False) as stop:
        try:
            team += [_start(run.directory, rank, size, port) for rank in range(size)]
            codes = _watch(team, stop)
        finally:
            _end(team)
    if any(codes):
        raise _reason(run, codes, stop.signal)


@contextmanager
def _store() -> Iterator[int]:
    """Keep the store through which processes find each other; yields its port."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen()
        port = listener.getsockname()[1]
        # The store closes the descriptor that it is given, so it gets one of its own.
        store = dist.TCPStore(  # type: ignore[attr-defined]
            LOOPBACK, port, is_master=True, wait_for_workers=False, master_listen_fd=os.dup(listener.fileno())
        )
        yield port
        del store


def _start(directory: Path, rank: int, size: int, port: int) -> subprocess.Popen[bytes]:
    quiet = ["--quiet"] if progress.console.quiet or rank else []
    # -P: a file `random.py` where the user happens to stand is not taken for Python's own.
    command = [sys.executable, "-P", "-m", "pakar.train.launch.process", str(directory.resolve()), *quiet]
    # A group of its own: Ctrl-C reaches this process only, which then ends the others.
    return subprocess.Popen(command, env=os.environ | _environment(rank, size, port), process_group=0)  # noqa: S603 - our own program


def _environment(rank: int, size: int, port: int) -> dict[str, str]:
    """What torchrun would set, and what bounds memory."""
    threads = max(1, torch.get_num_threads() // size)
    network = _loopback_name()
    return {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0",
        "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": LOOPBACK, "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True",
        "OMP_NUM_THREADS": str(threads), "PAKAR_PARENT": str(os.getpid()),
        **allocator.without_cache(),
        **({"GLOO_SOCKET_IFNAME": network, "NCCL_SOCKET_IFNAME": network} if network else {}),
    }  # fmt: skip


def _loopback_name() -> str | None:
    """`lo`, or as this system calls it."""
    named = psutil.net_if_addrs().items()
    return next((name for name, addresses in named if any(a.address == LOOPBACK for a in addresses)), None)


def _watch(team: list[subprocess.Popen[bytes]], stop: Stop) -> list[int]:
    """Exit codes as soon as all have ended, or one has failed and the others had time to follow; those still there count as 0.

    The first Ctrl-C or SIGTERM is passed on: the processes finish and save their step. The second one ends this process.
    """
    deadline = float("inf")
    told = False
    while True:
        codes = [process.poll() for process in team]
        if None not in codes or time.monotonic() > deadline:
            return [code or 0 for code in codes]
        if any(codes) and deadline == float("inf"):
            deadline = time.monotonic() + SECONDS_TO_FOLLOW
        if stop.requested and not told:
            told = True
            for process in team:
                process.send_signal(stop.signal)
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _end(team: list[subprocess.Popen[bytes]]) -> None:
    """At once: what is on the disk is whole at every moment."""
    for process in team:
        process.kill()
    for process in team:
        process.wait()


def _reason(run: Run, codes: list[int], stopped_by: int) -> Exception:
    told = failure.take(run.training_failure_file)
    killed = next(((rank, -code) for rank, code in enumerate(codes) if code < 0), None)
    if killed is not None and killed[1] == stopped_by:
        saved = any(run.checkpoints_dir.glob("step-*"))
        goes_on = "; the same command goes on from the last checkpoint" if saved else " before the training began"
        return InterruptedTrainingError(stopped_by, f"interrupted{goes_on}")
    if killed is not None:
        return failure.lost(killed[0], f"was killed by {signal.Signals(killed[1]).name}")
    if told is not None:
        return told
    rank, code = next((rank, code) for rank, code in enumerate(codes) if code)
    return failure.lost(rank, f"ended with code {code}")
