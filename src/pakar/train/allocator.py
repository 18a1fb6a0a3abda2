"""Memory of the C library and of torch's libraries on a CPU, kept within bounds: else a training takes more and more of it."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache

_THRESHOLD_PARAMETER = -3  # M_MMAP_THRESHOLD of glibc's malloc.h
LARGE = 4 * 2**20
"""Bytes from which on a piece of memory is mapped apart, and returned to the system when it is freed."""
DESCRIPTIONS = 128
"""Matrix products that torch and oneDNN remember how to compute. A pass has some forty shapes of them, so each is prepared once a pass."""
DESCRIPTION_BYTES = 560 * 2**10
"""What oneDNN 3.12 keeps for each in bfloat16: about 262 KiB in torch's cache, and 278 in its own."""
_EVERY = 8
CAPACITIES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")


def keep_compact() -> bool:
    """Bound what is kept for reuse, for the rest of this process; True if the C library maps large pieces apart.

    To be called before the first matrix product. Both caches of ready products hold 1,024 of them unless told otherwise, and
    passes of many shapes fill them: in 24 steps of training the bundled starter model what malloc held between steps grew from
    66 to 551 MiB; with 128 of them it stayed at 80 MiB, for no more processor time.

    glibc raises its limit for large pieces by itself, up to 32 MiB, as they are freed. Passes of many shapes then leave holes
    in the heap that fit nothing: in 20 steps of the same training the process came to hold 726 MiB above the idle one, and
    615 MiB with this limit, for 3 % more processor time (one trial each on a busy machine).
    """
    for name in CAPACITIES:
        os.environ.setdefault(name, str(DESCRIPTIONS))
    libc = _glibc()
    return libc is not None and bool(libc.mallopt(_THRESHOLD_PARAMETER, LARGE))


def hand_back(step: int) -> None:
    """Return the holes in glibc's heap to the system after every eighth step; else they grow with the number of steps.

    A step gets them back page by page, which in every pass of a small model took 14 % of the processor time (one trial on a
    busy machine); now and then it should cost an eighth of that or less, which has not been measured.
    """
    libc = _glibc()
    if libc is not None and step % _EVERY == 0:
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
