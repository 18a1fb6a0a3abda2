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
    allocator.hand_back(8)
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
