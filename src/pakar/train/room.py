"""Disk and memory while training: told before they run out where that can be known, and in words when they do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from pakar import progress
from pakar.errors import ResourceError, is_disk_full, is_memory_short
from pakar.recipe import Train
from pakar.train import checkpoint

KEPT = 4
"""Checkpoints on the disk at one time, at most: the two newest, the best, and the one being written."""
_FREE = "free some space (see `df -h .`) and run the same command again; it goes on from the last checkpoint."


def expected_bytes(weights: dict[str, torch.Tensor], moment_bytes: int) -> int:
    """Size of one checkpoint: the weights in their own format, and two moments for each of them."""
    return sum(w.numel() * (w.element_size() + 2 * moment_bytes) for w in weights.values())


def warn_before_start(directory: Path, checkpoint_bytes: int) -> None:
    """Say so if the checkpoints of a training will not fit on the disk."""
    needed, free = KEPT * checkpoint_bytes, free_bytes(directory)
    if free < needed:
        progress.warn(
            f"checkpoints will take {told(needed)} (up to {KEPT} of {told(checkpoint_bytes)}), "
            f"and {told(free)} are free on the disk of {directory}"
        )


def check_before_save(directory: Path, needed: int) -> None:
    """Refuse to write what cannot fit.

    Raises:
        ResourceError: less is free than a checkpoint takes.
    """
    free = free_bytes(directory)
    if free < needed:
        raise ResourceError(
            f"the disk is full: a checkpoint takes {told(needed)} ({needed:,} bytes), and {told(free)} are free on the disk of {directory}",
            next_step=_FREE,
        )


@contextmanager
def saving(directory: Path, needed: int) -> Iterator[None]:
    """Run a save; a disk that fills up meanwhile is told with the bytes that were needed.

    Raises:
        ResourceError: the disk is full, or a quota used up. The checkpoints before this one stay as they are.
    """
    check_before_save(directory, needed)
    try:
        yield
    except Exception as error:
        if not is_disk_full(error):
            raise
        raise ResourceError(f"the disk is full: a checkpoint takes {told(needed)} ({needed:,} bytes) in {directory}: {error}",
                            next_step=_FREE) from error  # fmt: skip


@contextmanager
def remedies(checkpoints_dir: Path, section: Train) -> Iterator[None]:
    """Run a training; memory that runs out is told with what helps.

    Raises:
        ResourceError: not enough memory on the device or the machine.
    """
    try:
        yield
    except Exception as error:
        if not is_memory_short(error):
            raise
        saved = sorted(checkpoints_dir.glob("step-*"), reverse=True)
        fewer = _fewer(section, saved)
        smaller = ", or train.method.kind=qlora, which begins again" if section.method.kind != "qlora" else ""
        goes_on = "; with the first two it goes on from the last checkpoint" if saved else ""
        raise ResourceError(
            f"the memory of this {'GPU' if torch.cuda.is_available() else 'machine'} is not enough: {str(error) or 'no details given'}",
            next_step=f"""one of these{goes_on}:
    1. fewer tokens at once: --set train.compute.micro_batch_tokens={fewer}
    2. less memory for each: --set train.compute.gradient_checkpointing=true{smaller}
    3. a smaller model.base, or a lower model.context_tokens; both begin again""",
        ) from error


def perhaps_killed(checkpoints_dir: Path, section: Train) -> str:
    """For a training that ended after its last checkpoint without a word: what helps if memory was the reason.

    A CPU has no error for memory that ends: the system's kernel kills the process.
    """
    fewer = _fewer(section, sorted(checkpoints_dir.glob("step-*"), reverse=True))
    return (
        "train: steps were done after the last checkpoint, and the process ended without saving them; they are done again. If the system "
        f"killed it for want of memory (`dmesg` tells), --set train.compute.micro_batch_tokens={fewer} or "
        "--set train.compute.gradient_checkpointing=true helps, and goes on from here"
    )


def _fewer(section: Train, saved: list[Path]) -> int:
    """Half as many tokens at once."""
    return max(16, _tokens_at_once(section, saved) // 2)


def _tokens_at_once(section: Train, saved: list[Path]) -> int:
    """What the recipe says, else what the training settled on."""
    wanted = section.compute.micro_batch_tokens
    if wanted != "auto":
        return wanted
    settled = checkpoint.read_state(saved[0]).settled if saved and checkpoint.defect(saved[0]) is None else {}
    return int(settled.get("micro_batch_tokens", 4096))


def free_bytes(directory: Path) -> int:
    """Free room on the disk that holds `directory`, or will."""
    existing = next(parent for parent in (directory, *directory.absolute().parents) if parent.exists())
    return shutil.disk_usage(existing).free


def told(count: int) -> str:
    """Bytes for people, such as `1.5 GiB`."""
    value, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
