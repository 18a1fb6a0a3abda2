"""Benchmark figures: time and memory of a whole process tree, and tables that read well."""

from __future__ import annotations

import sys

import pytest
from benchmarks.machine import describe, measure, table

HOLD = "import time; block = bytearray({megabytes} << 20); block[::4096] = b'x' * len(block[::4096]); time.sleep(1)"


def test_memory_of_child_processes_is_counted() -> None:
    child = HOLD.format(megabytes=200)
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True); print('done')"
    measured = measure([sys.executable, "-c", parent])
    assert measured.output == "done\n"
    assert 200 << 20 < measured.peak_bytes < 400 << 20
    assert measured.seconds >= 1


def test_processor_time_is_that_of_the_work_and_not_of_the_waiting() -> None:
    waiting = measure([sys.executable, "-c", "import time; time.sleep(0.8)"])
    assert waiting.cpu_seconds < waiting.seconds / 2


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(SystemExit, match="no such thing"):
        measure([sys.executable, "-c", "raise ValueError('no such thing')"])


def test_the_machine_is_described_with_versions() -> None:
    said = describe(["polars", "no-such-library"])
    assert "cores" in said
    assert "polars 2" in said
    assert "no-such-library not installed" in said


def test_a_table_groups_digits_and_puts_figures_to_the_right() -> None:
    made = table(
        [{"system": "one", "rows": 300_000, "seconds": 12.345}, {"system": "two", "rows": 5, "seconds": 0.01234}]
    )
    assert made == ("| system | rows | seconds |\n| --- | --: | --: |\n| one | 300,000 | 12.3 |\n| two | 5 | 0.01234 |")
