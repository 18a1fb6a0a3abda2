"""Devices that a training can be planned for: this machine, and those that people rent or own."""

from __future__ import annotations

import re
import time
from typing import Literal, NamedTuple

import torch

from pakar import machine
from pakar.errors import RecipeError
from pakar.train.precision import has_bfloat16

GIB = 2**30
_MEASURED_SIZE = 2048


class Device(NamedTuple):
    """Where a training would run.

    Attributes:
        name: As people call it.
        kind: `gpu` or `cpu`.
        memory: Bytes that a program can use: of a named device all that are ever free, on this machine those that are free now.
        bfloat16: Whether it computes bfloat16 in silicon.
        flops: Products and sums a second in 16 bits (dense; accumulated in 32 bits), or of the measured format; None if not known.
        measured: Whether `flops` were measured; else they are the maker's.
    """

    name: str
    kind: Literal["gpu", "cpu"]
    memory: int
    bfloat16: bool
    flops: float | None
    measured: bool = False


def _gpu(name: str, gib: float, teraflops: float, *, bfloat16: bool = True) -> Device:
    return Device(name, "gpu", int(gib * GIB), bfloat16, teraflops * 1e12)


_NAMED = (
    # Usable memory is a little less than the size in the name; rates are the makers' data sheets.
    _gpu("T4", 14.6, 65, bfloat16=False),
    _gpu("V100", 15.8, 125, bfloat16=False),
    _gpu("L4", 22.0, 121),
    _gpu("A10G", 22.1, 70),
    _gpu("RTX-3090", 23.6, 71),
    _gpu("RTX-4090", 23.5, 165),
    _gpu("A100-40", 39.4, 312),
    _gpu("A100-80", 79.2, 312),
    _gpu("H100", 79.1, 989),
    _gpu("H200", 139.8, 989),
)
_BY_NAME = {device.name.lower(): device for device in _NAMED}


def names() -> list[str]:
    """Devices that can be named."""
    return [device.name for device in _NAMED]


def named(name: str) -> Device:
    """A device by its name, or any GPU by its memory, such as `16GiB`.

    Raises:
        RecipeError: nothing is known of it.
    """
    plain = re.sub(r"^(nvidia|geforce|tesla)[\s_-]*", "", name.strip().lower()).replace(" ", "-").replace("_", "-")
    plain = re.sub(r"^rtx(?=\d)", "rtx-", plain)
    size = re.fullmatch(r"(\d+(?:\.\d+)?)-?gi?b?", plain)
    if size:
        return Device(f"a GPU of {size[1]} GiB", "gpu", int(float(size[1]) * GIB), bfloat16=True, flops=None)
    plain = plain.removesuffix("gb")
    found = _BY_NAME.get(plain) or _BY_NAME.get(f"rtx-{plain}")
    if found is None:
        raise RecipeError(f"--device {name}: nothing is known of it; known are {', '.join(names())}",
                          next_step="name one of these, or a size such as --device 16GiB.")  # fmt: skip
    return found


def this_machine(precision: torch.dtype | None = None) -> Device:
    """The device that training would use here; its rate is measured in `precision`, if given."""
    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        found = Device(torch.cuda.get_device_name(), "gpu", free, has_bfloat16(), None)
    else:
        name = f"this computer ({torch.get_num_threads()} threads, no GPU)"
        found = Device(name, "cpu", machine.free_memory(), has_bfloat16(), None)
    return found if precision is None else found._replace(flops=rate(found.kind, precision), measured=True)


def rate(kind: str, precision: torch.dtype) -> float:
    """Products and sums a second of a square matrix product; takes well below a second."""
    place = "cuda" if kind == "gpu" else "cpu"
    left, right = (torch.ones(_MEASURED_SIZE, _MEASURED_SIZE, dtype=precision, device=place) for _ in range(2))
    best = 0.0
    for _ in range(4):
        started = time.perf_counter()
        (left @ right)[0, 0].item()
        best = max(best, 2 * _MEASURED_SIZE**3 / (time.perf_counter() - started))
    return best
