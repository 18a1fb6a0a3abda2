"""What this machine has left."""

from __future__ import annotations

from pathlib import Path

import psutil

_LIMITS = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Bytes that can still be taken without swapping; inside a container no more than its limit leaves."""
    free = int(psutil.virtual_memory().available)
    limit, used = _number("memory.max"), _number("memory.current")
    return free if limit is None or used is None else max(0, min(free, limit - used))


def _number(name: str) -> int | None:
    try:
        return int((_LIMITS / name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
