"""Reading, repair, e-mail addresses, near-duplicates, writing: Pakar beside datatrove and data-juicer.

    python -m benchmarks.pipeline_peers --datatrove PYTHON --data-juicer PYTHON [--rows 100000] [--words 1.0]

Each PYTHON is an interpreter of an environment of its own; how to make it stands at the top of the scripts in benchmarks/peers.
Pakar does more in that time: it also splits, counts and tokenises, as its command line always does.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from benchmarks import machine
from benchmarks.machine import Measured
from benchmarks.pakar_prepare import NEAR_DUPLICATES, prepare
from benchmarks.pipeline_at_scale import generated

OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
SECTION: dict[str, Any] = {
    "executor": {"kind": "local", "workers": 2},
    "operators": ["encoding", {"kind": "personal-data", "types": ["email"]}],
    "near_duplicates": NEAR_DUPLICATES,
}


def pakar(rows_dir: Path, work_dir: Path, rows: int) -> tuple[Measured, int, str]:
    """Time and memory, rows left, seconds per step."""
    done = prepare(rows_dir, work_dir, SECTION)
    slowest = sorted(done.timings["operators"].items(), key=lambda item: -item[1]["seconds"])
    spent = ", ".join(f"{name} {timing['seconds']:.1f}" for name, timing in slowest)
    return done.measured, rows - sum(done.ledger["rejected"].values()), f"seconds of one core: {spent}"


def peer(interpreter: str, script: str, rows_dir: Path, work_dir: Path) -> tuple[Measured, int, str]:
    """The same of another tool."""
    out_dir = work_dir / "peer"
    shutil.rmtree(out_dir, ignore_errors=True)
    environment = OFFLINE | {"HF_HOME": str(work_dir / "peer-cache")}  # nothing of an earlier run is taken from a cache
    shutil.rmtree(work_dir / "peer-cache", ignore_errors=True)
    measured = machine.measure([interpreter, f"benchmarks/peers/{script}.py", rows_dir, out_dir], environment)
    told = json.loads(measured.output.splitlines()[-1])
    shutil.rmtree(out_dir)
    return measured, told["rows_out"], ", ".join(f"{name} {seconds:.1f}" for name, seconds in told["seconds"].items())


def line(system: str, done: tuple[Measured, int, str], rows: int, reference: float) -> dict[str, object]:
    """A line of the table."""
    measured, left, _ = done
    return {
        "system": system,
        "seconds": measured.seconds,
        "rows/s": round(rows / measured.seconds),
        "processor seconds": measured.cpu_seconds,
        "peak memory, MiB": round(measured.peak_bytes / 2**20),
        "rows left": left,
        "times Pakar's time": measured.seconds / reference,
    }


def main() -> None:
    """Run the tools that are at hand."""
    parser = argparse.ArgumentParser(description="Cleaning and near-duplicates, compared.")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--words", type=float, default=1.0, help="factor on the published lengths")
    parser.add_argument("--datatrove", help="an interpreter that has datatrove")
    parser.add_argument("--data-juicer", help="an interpreter that has data-juicer")
    parser.add_argument("--dir", type=Path, default=Path(gettempdir()) / "pakar-benchmarks")
    given = parser.parse_args()
    rows_dir = generated(given.dir, given.rows, given.words)
    done = {"Pakar": pakar(rows_dir, given.dir, given.rows)}
    if given.datatrove:
        done["datatrove 0.10.1"] = peer(given.datatrove, "datatrove_dedup", rows_dir, given.dir)
    if given.data_juicer:
        done["data-juicer 1.6.1"] = peer(given.data_juicer, "data_juicer_clean", rows_dir, given.dir)
    reference = done["Pakar"][0].seconds
    machine.publish(
        "pipeline_peers",
        f"# Cleaning and near-duplicates of {given.rows:,} scientific rows",
        f"Generated rows, {given.words:g} times the published lengths. All read Parquet, repair characters with ftfy, hide e-mail "
        "addresses, remove near-duplicates by MinHash over five-word runs, and write; two processes each, nothing downloaded. "
        "Pakar verifies every pair that MinHash proposes and also splits, counts words and tokens and writes token shards. "
        "Fewer of its rows are left, because it also rejects rows whose question fills the base model's context (512 tokens "
        "here), which the others do not look at.",
        machine.table([line(system, each, given.rows, reference) for system, each in done.items()]),
        "\n".join(f"- {system}: {each[2]}" for system, each in done.items()),
        "Machine: " + machine.describe(["polars", "pyarrow", "ftfy"]),
    )


if __name__ == "__main__":
    main()
