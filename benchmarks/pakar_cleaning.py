"""Pakar's side of `benchmarks.cleaning`: the same cleaning and statistics through an executor and an operator of the product.

    python -m benchmarks.pakar_cleaning ROWS_DIR OUT_DIR --executor local

Prints one line of JSON like `benchmarks.usual_pyspark`: the statistics before and after.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from pakar.prepare import executor, statistics
from pakar.prepare.counting import Counts, words
from pakar.prepare.executor import Piece, Report, finish
from pakar.prepare.operators.reference_scientific import clean_as_reference
from pakar.recipe import Executor, Local, Spark

COLUMNS = {"input": "question", "output": "answer"}
"""Column of the files → its name in Pakar's statistics."""

MEASURES = {"count": "count", "mean": "mean", "std": "stddev", "min": "min", "max": "max", "total": "total"}
"""Name in the baseline → name in Pakar's statistics."""

EXECUTORS: dict[str, Executor] = {"local": Local(workers=2), "spark": Spark(master="local[2]")}

Lengths = dict[str, dict[str, dict[str, int]]]


def clean(out_dir: Path, piece: Piece) -> Report:
    """The task: count, clean, count and write the rows of one row group; `piece.what` is (path, row group)."""
    path, group = piece.what
    rows = pl.DataFrame(pq.ParquetFile(path).read_row_group(group, use_threads=False))
    cleaned = rows.with_columns(clean_as_reference(rows[name]) for name in COLUMNS)
    cleaned.write_parquet(out_dir / f"part-{piece.number:05d}.parquet", compression="snappy")
    return finish(piece, {"rows": len(rows), "before": _lengths(rows), "after": _lengths(cleaned)})


def pieces(rows_dir: Path, report_dir: Path) -> Iterator[Piece]:
    """One for each row group of each file."""
    groups = [
        (str(path), group)
        for path in sorted(rows_dir.glob("*.parquet"))
        for group in range(pq.ParquetFile(path).num_row_groups)
    ]
    for number, what in enumerate(groups):
        yield Piece(number, report_dir / f"{number:05d}.json", what)


def _lengths(rows: pl.DataFrame) -> Lengths:
    """Column → `words` → length → rows."""
    return {mine: {"words": _counted(words(rows[name]))} for name, mine in COLUMNS.items()}


def _counted(lengths: Counts) -> dict[str, int]:
    return {str(length): int(rows) for length, rows in zip(*np.unique(lengths, return_counts=True), strict=True)}


def _described(parts: Iterable[Lengths]) -> dict[str, dict[str, float]]:
    columns = statistics.described(statistics.added(parts))
    return {
        name: {word: float(columns[mine]["words"][measure]) for word, measure in MEASURES.items()}
        for name, mine in COLUMNS.items()
    }


def main() -> None:
    """Map the task over the row groups and put the counts together."""
    parser = argparse.ArgumentParser(description="Pakar's cleaning, for comparison.")
    parser.add_argument("rows_dir", type=Path)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--executor", choices=EXECUTORS, default="local")
    given = parser.parse_args()
    reports_dir = given.out_dir / "_reports"
    reports_dir.mkdir(parents=True, exist_ok=True)
    with executor.start(EXECUTORS[given.executor]) as workers:
        reports = list(workers.map(functools.partial(clean, given.out_dir), pieces(given.rows_dir, reports_dir)))
    print(json.dumps({when: _described(report[when] for report in reports) for when in ("before", "after")}))


if __name__ == "__main__":
    main()
