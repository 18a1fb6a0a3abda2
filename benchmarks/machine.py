"""What every benchmark shares: the machine it ran on, a command's time and memory, and tables in benchmarks/results."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import psutil

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parent.parent

_EVERY = 0.1  # seconds between two looks at the memory of a process tree


class Measured(NamedTuple):
    """A command that has run.

    Attributes:
        seconds: Wall-clock time from start to exit.
        cpu_seconds: Processor time, user and system, of the command and all its descendants.
        peak_bytes: Largest sum of the resident memory of the command and all its descendants, looked at ten times a second.
            Pages that two processes share count twice.
        output: What it wrote to standard output.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str


def describe(libraries: Sequence[str] = ()) -> str:
    """One paragraph: processor, cores, memory, system, load, Python and the versions of the named libraries."""
    memory = psutil.virtual_memory().total / 2**30
    machine = (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB memory, {platform.system()} {'.'.join(platform.release().split('.')[:2])}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    return "; ".join([machine, f"Python {platform.python_version()}", *map(_library, libraries)])


def measure(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Measured:
    """Run a command to its end and watch its process tree.

    Raises:
        SystemExit: the command failed; the last lines of its standard error say why.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
    )
    watch = _Watch(process.pid)
    watch.start()
    output, errors = process.communicate()
    seconds = time.perf_counter() - started
    watch.finish()
    if process.returncode:
        tail = "\n".join(errors.splitlines()[-20:])
        raise SystemExit(f"{' '.join(str(part) for part in command)}: exit {process.returncode}\n{tail}")
    return Measured(seconds, watch.cpu_seconds(), watch.peak_bytes, output)


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """A Markdown table; figures stand to the right. The first row's keys are the heads."""
    heads = list(rows[0])
    cells = [[_cell(row.get(head, "")) for head in heads] for row in rows]
    rule = ["--:" if any(isinstance(row.get(head), (int, float)) for row in rows) else "---" for head in heads]
    return "\n".join("| " + " | ".join(line) + " |" for line in [heads, rule, *cells])


def publish(name: str, *parts: str) -> None:
    """Print the parts and keep them as benchmarks/results/NAME.md."""
    text = "\n\n".join(parts) + "\n"
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")


def python(script: str | Path, *arguments: object) -> list[str]:
    """The command that runs a script of ours with this interpreter."""
    return [sys.executable, str(script), *map(str, arguments)]


class _Watch(threading.Thread):
    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self._root, self._cpu = root, dict[int, float]()
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(_EVERY):
            self._look()

    def finish(self) -> None:
        self._over.set()
        self.join()

    def cpu_seconds(self) -> float:
        return sum(self._cpu.values())

    def _look(self) -> None:
        total = 0
        for process in _tree(self._root):
            try:
                times = process.cpu_times()
                total += process.memory_info().rss
            except psutil.Error:  # it has just ended
                continue
            self._cpu[process.pid] = times.user + times.system
        self.peak_bytes = max(self.peak_bytes, total)


def _tree(root: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(root)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in _lines(info) if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _library(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} not installed"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
