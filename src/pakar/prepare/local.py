"""The embedded executor: several processes on this machine, one piece each at a time."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType

import psutil

from pakar import progress, workers
from pakar.errors import ResourceError
from pakar.prepare.executor import Piece, Report, Task, perform

MEMORY_PER_WORKER = 1.2e9
"""Bytes that a worker may come to need: libraries, tokenizer, one batch of long texts and what it becomes."""
PATIENCE = 5.0
"""Seconds that a step's pieces are done in this process before workers are started: that takes about as long."""
MOST_DEATHS = 5
"""A pool whose workers died so often is not started again."""


class LocalExecutor:
    """Runs tasks in worker processes.

    Args:
        count: Processes. None: one per core that this process may use, fewer if memory is short; small work is then done in
            this process, which saves their start.
    """

    def __init__(self, count: int | None = None) -> None:
        self._count = count or default_workers()
        self._patience = PATIENCE if count is None else 0.0
        self._pool: ProcessPoolExecutor | None = None
        self._deaths = 0

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            _stop(self._pool, at_once=error is not None)

    def map(self, task: Task, pieces: Iterable[Piece]) -> Iterator[Report]:
        """See `Executor.map`."""
        rest = iter(pieces)
        if self._count == 1 or (self._pool is None and self._patience):
            yield from self._map_here(task, rest)
        yield from self._map_in_pool(task, rest)

    def _map_here(self, task: Task, pieces: Iterator[Piece]) -> Iterator[Report]:
        started = time.monotonic()
        for piece in pieces:
            yield perform(task, piece)
            if self._count > 1 and time.monotonic() - started > self._patience:
                return

    def _map_in_pool(self, task: Task, pieces: Iterator[Piece]) -> Iterator[Report]:
        again: list[Piece] = []
        running: dict[Future[Report], Piece] = {}
        while True:
            # Twice as many as workers, so that none waits for this process, and pieces are not made too far ahead.
            for piece in itertools.islice(itertools.chain(_drain(again), pieces), 2 * self._count - len(running)):
                running[self._submit(task, piece)] = piece
            if not running:
                return
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                piece = running.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    again += [piece, *running.values()]
                    running.clear()
                    self._replace_pool()
                    break

    def _submit(self, task: Task, piece: Piece) -> Future[Report]:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._count,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=workers.begin,
                initargs=(os.getpid(),),
            )
        try:
            return self._pool.submit(perform, task, piece)
        except BrokenProcessPool as error:
            broken: Future[Report] = Future()
            broken.set_exception(error)
            return broken

    def _replace_pool(self) -> None:
        self._deaths += 1
        if self._deaths > MOST_DEATHS:
            raise ResourceError(
                f"worker processes were killed {self._deaths} times, most likely because memory ran out",
                next_step="run the same command again with --set prepare.executor.workers=1; finished work is kept. "
                "In a script of your own, begin below `if __name__ == '__main__':`, which new processes need.",
            )
        progress.warn("a worker process was killed; its piece is done again")
        if self._pool is not None:
            _stop(self._pool, at_once=True)
            self._pool = None


def default_workers() -> int:
    """One per core that this process may use, as far as memory allows."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, int(psutil.virtual_memory().available / MEMORY_PER_WORKER)))


def _drain(pieces: list[Piece]) -> Iterator[Piece]:
    while pieces:
        yield pieces.pop(0)


def _stop(pool: ProcessPoolExecutor, *, at_once: bool) -> None:
    """End the workers; at once: also those in the middle of a piece, which will be done again."""
    processes = list((pool._processes or {}).values()) if at_once else []
    pool.shutdown(wait=not at_once, cancel_futures=True)
    for process in processes:
        process.kill()
