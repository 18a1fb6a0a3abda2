from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from pakar.train import allocator

PRODUCTS = """
import ctypes, sys, torch
from pakar.train import allocator

class Used(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena o s h mapped u f used free k".split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Used
allocator.DESCRIPTIONS = 8
if sys.argv[1] == "bounded":
    allocator.keep_compact()
weight = torch.ones(64, 64, dtype=torch.bfloat16)

def taken(sizes):
    for size in sizes:
        torch.ones(size, 64, dtype=torch.bfloat16) @ weight
    allocator.hand_back()
    return libc.mallinfo2().used + libc.mallinfo2().mapped

first = taken(range(8, 168, 8))
print(taken(range(168, 968, 8)) - first)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")
@pytest.mark.skipif(not torch.cpu.get_capabilities().get("avx512_bf16"), reason="oneDNN computes these nowhere else")
def test_products_of_ever_new_shapes_stop_taking_memory() -> None:
    env = {name: value for name, value in os.environ.items() if name not in allocator.CAPACITIES}
    grown = {
        how: int(subprocess.run([sys.executable, "-c", PRODUCTS, how], check=True, capture_output=True, env=env).stdout)
        for how in ("bounded", "free")
    }
    assert grown["bounded"] < 2**20
    assert grown["free"] > 100 * 2**18


COMES_AND_GOES = """
import ctypes, sys, torch
from pakar.train import allocator

if sys.argv[1] == "compact":
    allocator.begin_again()
    allocator.keep_compact()
top = ctypes.CDLL(None).sbrk
top.restype = ctypes.c_void_p
first, kept = top(0), []
for _ in range(20):
    large = []
    for _ in range(10):
        large.append(torch.empty(3 * 2**20, dtype=torch.uint8))
        kept.append(torch.empty(1))  # stays
    del large
print((top(0) - first) / 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")
def test_small_pieces_that_stay_leave_no_holes_where_large_ones_come_and_go() -> None:
    script = [sys.executable, "-c", COMES_AND_GOES]
    env = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20)}
    taken = {
        how: float(subprocess.run([*script, how], check=True, capture_output=True, env=env).stdout)
        for how in ("compact", "free")
    }
    assert taken["compact"] < 1.2 * 30
    assert taken["free"] > 2 * 30


BEGUN = """
import os, sys
from pakar.train import allocator

print(os.getpid(), flush=True)
allocator.begin_again()
print(os.getpid(), os.environ.get("GLIBC_TUNABLES"), sys.argv[1:], flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")
@pytest.mark.parametrize("given", [None, "glibc.malloc.arena_max=2"])
def test_a_program_begins_again_once_as_the_same_process_with_the_same_arguments(given: str | None) -> None:
    env = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    if given:
        env["GLIBC_TUNABLES"] = given
    done = subprocess.run(
        [sys.executable, "-c", BEGUN, "a b", "--c"], check=True, capture_output=True, text=True, env=env
    )
    first, again, rest = done.stdout.splitlines()
    assert first == again
    assert rest == f"{first} {given or ''} ['a b', '--c']"
