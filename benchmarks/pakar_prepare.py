"""Runs `pakar prepare` on generated rows through its command line, in a process of its own, and reads what it left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import machine
from benchmarks.machine import Measured

NEAR_DUPLICATES = {"similarity": 0.8}


class Prepared(NamedTuple):
    """A finished run.

    Attributes:
        measured: Time and memory of the whole process tree.
        ledger: The content of ledger.json.
        timings: The content of timings.json: operator → rows, and seconds of all workers together.
    """

    measured: Measured
    ledger: dict[str, Any]
    timings: dict[str, dict[str, Any]]


def prepare(rows_dir: Path, work_dir: Path, section: Mapping[str, Any]) -> Prepared:
    """Prepare the rows of a folder from scratch; the run directory is removed afterwards.

    Args:
        rows_dir: Written by `scientific_rows`.
        work_dir: For recipe and run directory.
        section: `prepare` of the recipe, without its sources; what it does not name has Pakar's default.
    """
    name = f"prepare-{rows_dir.name}"
    run_dir = work_dir / "runs" / name
    shutil.rmtree(run_dir, ignore_errors=True)
    work_dir.mkdir(parents=True, exist_ok=True)
    recipe = work_dir / f"{name}.yaml"
    shape = {"kind": "pairs", "question": "input", "answer": "output"}
    source = {"path": str(rows_dir.resolve() / "part-*.parquet"), "shape": shape}
    # JSON is YAML
    recipe.write_text(
        json.dumps({"name": name, "prepare": {"sources": [source], **section}}, indent=2), encoding="utf-8"
    )
    measured = machine.measure(
        [*machine.python("-m"), "pakar", "prepare", recipe, "--runs-dir", work_dir / "runs", "--quiet"]
    )
    read = {part: json.loads((run_dir / "prepare" / f"{part}.json").read_text()) for part in ("ledger", "timings")}
    shutil.rmtree(run_dir)
    return Prepared(measured, read["ledger"], read["timings"])
