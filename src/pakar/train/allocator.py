"""Memory of the C library and of torch's libraries on a CPU, kept within bounds: else a training takes more and more of it.

Where tensors of some MiB come and go, glibc's heap fills with holes that fit nothing. torch asks for addresses that are multiples
of 64, so glibc cuts a few dozen bytes off at both ends of each such piece. Small pieces take these at once, above all by way of
its caches, which hand out first what was freed last; they stay, and when the large piece is freed, its hole is too small for
another one of its size. Two things end that: no such caches, and a store of small pieces, which glibc takes before the cut-offs.
docs/decisions/0010-a-heap-without-holes.md tells what both do.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
from functools import cache

_TUNABLES, _CACHE = "GLIBC_TUNABLES", "glibc.malloc.tcache_count"
_BEGUN_AGAIN = "PAKAR_BEGUN_AGAIN"
_FAST, _TRIM_THRESHOLD, _MMAP_THRESHOLD = 1, -1, -3  # M_MXFAST and others of glibc's malloc.h
_LARGE = 32 * 2**20
"""Bytes from which on a piece is mapped apart, and paged in anew each time: the most that glibc allows."""
_KEPT = 2**31 - 1
"""Bytes that the heap may keep at its end."""
_SMALL, _STORED = range(24, 140, 16), 2000
"""Sizes of small pieces, in bytes, and how many of each are stored."""
DESCRIPTIONS = 128
"""Matrix products that torch and oneDNN remember how to compute. A pass has some forty shapes of them, so each is prepared once a pass."""
DESCRIPTION_BYTES = 560 * 2**10
"""What oneDNN 3.12 keeps for each in bfloat16: about 262 KiB in torch's cache, and 278 in its own."""
CAPACITIES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")


def begin_again() -> None:
    """Start this program again as it was started, without glibc's cache of small pieces, which can be left out only then.

    Returns in the program that has begun again, whose own children do not inherit the setting. Returns at once where there is
    no glibc, where that cache is set by the user, and where programs cannot be started.
    """
    given = os.environ.get(_TUNABLES, "")
    if os.environ.pop(_BEGUN_AGAIN, "") == str(os.getpid()):  # not a child of such a program, which has another number
        own = [one for one in given.split(":") if not one.startswith(_CACHE)]
        os.environ.pop(_TUNABLES, None)
        os.environ.update({_TUNABLES: ":".join(own)} if any(own) else {})
    elif _CACHE not in given and _glibc() is not None:
        marked = os.environ | without_cache() | {_BEGUN_AGAIN: str(os.getpid())}
        with contextlib.suppress(OSError):
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], marked)  # noqa: S606 - itself


def without_cache() -> dict[str, str]:
    """The environment variable that a process must be started with, unless the user has set that cache."""
    given = os.environ.get(_TUNABLES, "")
    return {} if _CACHE in given else {_TUNABLES: ":".join(one for one in (given, f"{_CACHE}=0") if one)}


def keep_compact() -> None:
    """Bound what is kept for reuse, for the rest of this process.

    To be called before the first matrix product. Both caches of ready products hold 1,024 of them unless told otherwise, and
    passes of many shapes fill them: in 24 steps of training a model of 3.8 million weights what malloc held between steps grew
    from 66 to 551 MiB; with 128 of them it stayed at 80 MiB, for no more processor time.
    """
    for name in CAPACITIES:
        os.environ.setdefault(name, str(DESCRIPTIONS))
    libc = _glibc()
    if libc is None:
        return
    hand_back()
    _store_small_pieces()
    for parameter, value in ((_FAST, 0), (_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, _KEPT)):
        libc.mallopt(parameter, value)


def hand_back() -> None:
    """Return what is free in glibc's heap to the system: when a training begins, and when it is over."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


@cache
def _store_small_pieces() -> None:
    """Every second one is free, and never grows together with another; the rest, 1.4 MB, stay as they are."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    for size in _SMALL:
        pieces = [libc.malloc(size) for _ in range(2 * _STORED)]
        for piece in pieces[::2]:
            libc.free(piece)


@cache
def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
