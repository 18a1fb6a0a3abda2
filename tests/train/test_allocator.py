from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pakar import __main__ as entry
from pakar.train import allocator
from pakar.train.launch import processes

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

{before}
print(os.getpid(), flush=True)
allocator.begin_again()
print(os.getpid(), os.environ.get("GLIBC_TUNABLES"), sys.argv[1:], flush=True)
"""
OTHER = "glibc.malloc.arena_max=2"


def begun(given: str | None, before: str = "") -> list[str]:
    """Lines that are printed before and after."""
    env = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    if given:
        env["GLIBC_TUNABLES"] = given
    script = [sys.executable, "-c", BEGUN.format(before=before), "a b", "--c"]
    return subprocess.run(script, check=True, capture_output=True, text=True, env=env, timeout=60).stdout.splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")
@pytest.mark.parametrize("given", [None, OTHER])
def test_a_program_begins_again_once_as_the_same_process_with_the_same_arguments(given: str | None) -> None:
    first, again, rest = begun(given)
    assert first == again
    assert rest == f"{first} {given} ['a b', '--c']"


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")
def test_where_settings_of_the_c_library_do_not_arrive_it_begins_again_once_all_the_same(tmp_path: Path) -> None:
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nexec env -u GLIBC_TUNABLES {sys.executable} "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)
    assert len(begun(None, f"sys.executable = {str(wrapper)!r}")) == 3


@pytest.mark.parametrize(
    ("given", "before"), [("glibc.malloc.tcache_count=3", ""), (None, "sys.executable = '/nowhere'")]
)
def test_a_program_goes_on_where_the_user_has_set_the_cache_or_nothing_can_be_started(
    given: str | None, before: str
) -> None:
    first, rest = begun(given, before)
    assert rest == f"{first} {given} ['a b', '--c']"


@pytest.mark.parametrize(
    ("arguments", "again"), [(["run"], True), (["train"], True), (["evaluate"], False), ([], False)]
)
def test_what_trains_begins_again(monkeypatch: pytest.MonkeyPatch, arguments: list[str], again: bool) -> None:
    called: list[str] = []
    monkeypatch.setattr(sys, "argv", ["pakar", *arguments])
    monkeypatch.setattr(allocator, "begin_again", lambda: called.append("again"))
    monkeypatch.setattr(entry, "main", lambda: called.append("main"))
    entry.start()
    assert called == [*(["again"] if again else []), "main"]


def test_processes_of_a_team_are_started_without_the_cache() -> None:
    assert processes._environment(0, 2, 1)["GLIBC_TUNABLES"].endswith("tcache_count=0")
