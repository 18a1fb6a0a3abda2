"""How a run came to be: versions of what computes, the commit, the machine, the time. Facts only, no decisions."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "peft", "accelerate", "polars", "numpy", "sacrebleu")


def versions() -> dict[str, str]:
    """Versions of Pakar, Python and the libraries that decide results."""
    return {"pakar": metadata.version("pakar"), "python": platform.python_version()} | {
        name: metadata.version(name) for name in PACKAGES
    }


def git() -> dict[str, Any] | None:
    """Commit of the folder that the command was typed in, if it is a git checkout."""

    def ask(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=10)  # noqa: S603, S607
        return done.stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "uncommitted_changes": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def hardware() -> dict[str, Any]:
    """System, processor, cores and memory of this machine."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [
            line.split(":", 1)[1].strip()
            for line in information.read_text().splitlines()
            if line.startswith("model name")
        ]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None
    return {"system": platform.platform(), "processor": model, "cores": os.cpu_count(), "memory_bytes": memory}


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
