"""The whole preparation of 1,500,000 rows drawn from 3,000,000, and how its time grows with the number of rows.

    python -m benchmarks.pipeline_at_scale [--rows 3000000] [--sample 1500000] [--words 0.1] [--dir DIR]

Pakar's default operators, exact and near-duplicates, sample, split, statistics and token shards, with two workers.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.pakar_prepare import NEAR_DUPLICATES, Prepared, prepare
from benchmarks.scientific_rows import INPUT_WORDS, OUTPUT_WORDS, Settings, write

MEMORY = 4 * 2**30
"""Most bytes that all processes together may hold."""
GROWTH = (10_000, 100_000, 1_000_000)
SECTION: dict[str, Any] = {"executor": {"kind": "local", "workers": 2}, "near_duplicates": NEAR_DUPLICATES}


def generated(base: Path, rows: int, words: float) -> Path:
    """The folder with so many rows, written if it is not there."""
    rows_dir = base / f"rows-{rows}-words-{words:g}"
    write(rows_dir, rows, Settings(words=words))
    return rows_dir


def outcome_row(rows: int, done: Prepared) -> dict[str, object]:
    """One line about a run."""
    return {
        "rows read": rows,
        "kept": done.ledger["kept"],
        "rejected": sum(done.ledger["rejected"].values()),
        "seconds": done.measured.seconds,
        "rows/s": round(rows / done.measured.seconds),
        "processor seconds": done.measured.cpu_seconds,
        "peak memory, MiB": round(done.measured.peak_bytes / 2**20),
    }


def operator_table(done: Prepared) -> str:
    """Rows/s of every operator, by the seconds of one core; the slowest first."""
    operators = sorted(done.timings["operators"].items(), key=lambda item: -item[1]["seconds"])
    return machine.table(
        [
            {
                "operator": name,
                "rows": timing["rows"],
                "seconds of one core": float(timing["seconds"]),
                "rows/s and core": round(timing["rows"] / max(timing["seconds"], 1e-3)),
            }
            for name, timing in operators
        ]
    )


def step_table(done: Prepared) -> str:
    """Seconds of every step, from start to end; empty where Pakar does not tell."""
    steps = done.timings.get("steps", {})
    return (
        machine.table([{"step": name, "seconds": float(seconds)} for name, seconds in steps.items()]) if steps else ""
    )


def exponent(rows: Sequence[int], seconds: Sequence[float]) -> float:
    """The b of seconds = a · rows ** b, by least squares of the logarithms."""
    slope, _ = np.polyfit(np.log(rows), np.log(seconds), 1)
    return float(slope)


def growth(runs: Mapping[int, Prepared]) -> tuple[str, str]:
    """A table of runs, and a sentence on the exponents."""
    sizes, measured = list(runs), [done.measured for done in runs.values()]
    told = []
    for name, seconds in (
        ("seconds", [one.seconds for one in measured]),
        ("processor seconds", [one.cpu_seconds for one in measured]),
    ):
        told.append(f"{name} grow as rows to the power of {exponent(sizes, seconds):.2f} over all sizes")
        if len(sizes) > 2:
            told[-1] += f", {exponent(sizes[-2:], seconds[-2:]):.2f} between the two largest"
    said = "; ".join(told)
    return machine.table(
        [outcome_row(rows, done) for rows, done in runs.items()]
    ), f"{said}. 1 is linear; starting counts for least in the largest."


def main() -> None:
    """Generate, prepare, publish."""
    parser = argparse.ArgumentParser(description="The whole preparation at scale.")
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--sample", type=int, default=1_500_000)
    parser.add_argument("--words", type=float, default=0.1, help="factor on the published lengths")
    parser.add_argument("--growth", type=int, nargs="*", default=GROWTH)
    parser.add_argument("--dir", type=Path, default=Path(gettempdir()) / "pakar-benchmarks")
    given = parser.parse_args()
    runs = {
        rows: prepare(
            generated(given.dir, rows, given.words),
            given.dir,
            {**SECTION, "sample": {"rows": rows * given.sample // given.rows}},
        )
        for rows in [*given.growth, given.rows]
    }
    done = runs[given.rows]
    within = "within" if done.measured.peak_bytes <= MEMORY else "NOT WITHIN"
    about = (
        f"Generated scientific rows, {given.words:g} times as long as the published ones: "
        f"{INPUT_WORDS[0] * given.words:.0f} and {OUTPUT_WORDS[0] * given.words:.0f} words on average. "
        "Command line from start to exit; memory is the sum over all processes."
    )
    parts = [
        f"# The whole preparation of {given.sample:,} rows drawn from {given.rows:,}",
        about,
        machine.table([outcome_row(given.rows, done)]),
        f"Peak memory is {within} 4 GiB.",
        "## Operators",
        operator_table(done),
        step_table(done),
        "Rejected: " + ", ".join(f"{reason} {rows:,}" for reason, rows in done.ledger["rejected"].items()) + ".",
    ]
    if given.growth:
        parts += ["## Growth (the same share drawn from fewer rows)", *growth(runs)]
    parts.append("Machine: " + machine.describe(["polars", "pyarrow", "tokenizers"]))
    machine.publish("pipeline_at_scale", *filter(None, parts))


if __name__ == "__main__":
    main()
