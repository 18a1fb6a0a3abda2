"""What this machine has left."""

from __future__ import annotations

from pathlib import Path

import psutil

CONTAINER = Path("/sys/fs/cgroup")
"""Where Linux tells a process in a container (version 2 of control groups) what it may use."""


def free_memory() -> int:
    """Bytes that can still be taken without swapping; inside a container no more than its limit leaves."""
    free = int(psutil.virtual_memory().available)
    limit, used = _number("memory.max"), _number("memory.current")
    return free if limit is None or used is None else max(0, min(free, limit - used))


def _number(name: str) -> int | None:
    try:
        return int((CONTAINER / name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
