"""Cleaning and word statistics of scientific rows: Pakar, embedded and on Spark, beside the usual PySpark script.

    python -m benchmarks.cleaning [--rows 300000] [--dir DIR] [--repeat 3] [--duckdb PYTHON]

All systems read the same Parquet files, count the words of both columns, clean them, count again and write Parquet; each is a
process of its own, timed from start to exit. Stops when the statistics or the cleaned rows of two systems differ.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
from collections.abc import Mapping
from pathlib import Path
from tempfile import gettempdir
from typing import Any, NamedTuple

import polars as pl

from benchmarks import machine
from benchmarks.machine import Measured
from benchmarks.scientific_rows import Settings, write

USUAL = "usual PySpark script, local[2]"
EMBEDDED = "Pakar, embedded, 2 processes"
ON_SPARK = "Pakar on Spark, local[2]"
DUCKDB = "DuckDB SQL, 2 threads"
WANTED = {EMBEDDED: 7.0, ON_SPARK: 2.5}
"""Times faster than the usual script that we promise."""


class Outcome(NamedTuple):
    """What a system did.

    Attributes:
        figures: Statistics as it printed them: before/after → column → measure.
        rows: Number of cleaned rows, and a sum over hashes of them that no order changes.
        runs: Time and memory of each run.
    """

    figures: Mapping[str, Mapping[str, Mapping[str, float]]]
    rows: tuple[int, int]
    runs: list[Measured]


def commands(rows_dir: Path, duckdb: str | None) -> dict[str, list[str]]:
    """System → command, without the folder that it writes to."""
    module = [*machine.python("-m"), "benchmarks.pakar_cleaning", str(rows_dir)]
    known = {
        USUAL: [*machine.python("-m"), "benchmarks.usual_pyspark", str(rows_dir)],
        EMBEDDED: module,
        ON_SPARK: [*module, "--executor=spark"],
    }
    if duckdb:
        known[DUCKDB] = [duckdb, "benchmarks/peers/duckdb_cleaning.py", str(rows_dir)]
    return known


def run(command: list[str], out_dir: Path, repeat: int) -> Outcome:
    """Run a system a few times, each time into an empty folder."""
    runs = []
    for _ in range(repeat):
        shutil.rmtree(out_dir, ignore_errors=True)
        runs.append(machine.measure([*command, out_dir]))
    outcome = Outcome(json.loads(runs[-1].output.splitlines()[-1]), _written(out_dir), runs)
    shutil.rmtree(out_dir)
    return outcome


def _written(out_dir: Path) -> tuple[int, int]:
    """Rows of all files together, and an order-free sum of their hashes (Polars' own, equal within one version)."""
    total, checksum = 0, 0
    for path in sorted(out_dir.rglob("*.parquet")):
        rows = pl.read_parquet(path, columns=["id", "input", "output"])
        total += len(rows)
        checksum += sum(rows.hash_rows(seed=0).to_list())
    return total, checksum % (1 << 64)


def check(outcomes: Mapping[str, Outcome]) -> None:
    """Raises SystemExit when a system's statistics or rows differ from the usual script's."""
    usual = outcomes[USUAL]
    for system, outcome in outcomes.items():
        for when, column, measure, wanted in _flat(usual.figures):
            found = outcome.figures[when][column][measure]
            if not math.isclose(found, wanted, rel_tol=0 if measure in ("count", "min", "max", "total") else 1e-6):
                raise SystemExit(f"{system}: {when}, {column}, {measure} = {found!r}, but {USUAL} says {wanted!r}")
        if outcome.rows != usual.rows:
            raise SystemExit(f"{system}: the cleaned rows differ from those of {USUAL}")


def _flat(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[tuple[str, str, str, float]]:
    return [
        (when, column, measure, value)
        for when, columns in figures.items()
        for column, measures in columns.items()
        for measure, value in measures.items()
    ]


def speed_table(outcomes: Mapping[str, Outcome], rows: int) -> str:
    """Medians of the runs."""
    usual = _median(outcomes[USUAL], "seconds")
    return machine.table(
        [
            {
                "system": system,
                "seconds": (seconds := _median(outcome, "seconds")),
                "rows/s": round(rows / seconds),
                "processor seconds": _median(outcome, "cpu_seconds"),
                "peak memory, MiB": round(max(each.peak_bytes for each in outcome.runs) / 2**20),
                "times faster": usual / seconds,
            }
            for system, outcome in outcomes.items()
        ]
    )


def words_table(outcome: Outcome) -> str:
    """Whitespace words before and after, in the layout of the published table."""
    rows: list[dict[str, Any]] = [
        {"words of": f"{column}, {when}"} | {measure: _whole(value) for measure, value in measures.items()}
        for when, columns in outcome.figures.items()
        for column, measures in columns.items()
    ]
    return machine.table(rows)


def promises(outcomes: Mapping[str, Outcome]) -> str:
    """One sentence for each promise."""
    usual = _median(outcomes[USUAL], "seconds")
    ratios = {system: usual / _median(outcomes[system], "seconds") for system in WANTED if system in outcomes}
    return "\n".join(
        f"{system}: {ratio:.1f} times as fast as the usual script; promised {WANTED[system]:g}: "
        + ("kept." if ratio >= WANTED[system] else "NOT KEPT.")
        for system, ratio in ratios.items()
    )


def _median(outcome: Outcome, what: str) -> float:
    return float(statistics.median(getattr(each, what) for each in outcome.runs))


def _whole(value: float) -> float | int:
    return int(value) if value == int(value) else value


SCOPE = (
    "Pakar's side maps its cleaning operator and its word counter over row groups, through both executors; what `pakar prepare` does "
    "besides (ids, tokens, near-duplicates, the books of every row) is no part of the script either, and is measured in "
    "`pipeline_at_scale`."
)


def main() -> None:
    """Generate the rows if they are not there, run every system, check, publish."""
    parser = argparse.ArgumentParser(description="Cleaning and statistics, compared.")
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--dir", type=Path, default=Path(gettempdir()) / "pakar-benchmarks")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--duckdb", help="an interpreter that has duckdb")
    parser.add_argument("--without-spark", action="store_true", help="leave Pakar on Spark out")
    given = parser.parse_args()
    rows_dir = given.dir / f"rows-{given.rows}"
    write(rows_dir, given.rows, Settings())
    chosen = commands(rows_dir, given.duckdb)
    if given.without_spark:
        del chosen[ON_SPARK]
    outcomes = {system: run(command, given.dir / "out", given.repeat) for system, command in chosen.items()}
    check(outcomes)
    machine.publish(
        "cleaning",
        f"# Cleaning and statistics of {given.rows:,} scientific rows",
        f"Whole processes, from start to exit; medians of {given.repeat} runs; peak memory is the largest of them. The statistics "
        "of all systems agree (counts, extremes and totals exactly, means and deviations to 1e-6), and so do the cleaned rows.",
        SCOPE,
        speed_table(outcomes, given.rows),
        promises(outcomes),
        words_table(outcomes[USUAL]),
        "Machine: " + machine.describe(["polars", "pyarrow", "pyspark"]),
    )


if __name__ == "__main__":
    main()
