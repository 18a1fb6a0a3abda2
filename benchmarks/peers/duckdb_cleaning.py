"""The cleaning and the statistics of `benchmarks.usual_pyspark` as DuckDB SQL, on two threads.

    python -m venv DIR && DIR/bin/pip install duckdb==2.0.0
    DIR/bin/python benchmarks/peers/duckdb_cleaning.py ROWS_DIR OUT_DIR

Prints one line of JSON: the statistics before and after.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import duckdb

COLUMNS = ("input", "output")
MEASURES = {"count": "count", "mean": "avg", "std": "stddev_samp", "min": "min", "max": "max", "total": "sum"}


def clean(column: str) -> str:
    """The five replacements, in order."""
    text = f"lower({column})"
    for pattern in ("xcite", "@xcite", "xmath[0-9]+", "\\n", "[^a-zA-Z0-9\\s]"):
        text = f"regexp_replace({text}, '{pattern}', '', 'g')"
    return text


def statistics(connection: Any, source: str) -> dict[str, dict[str, float]]:
    """Words of both columns."""
    counted = ", ".join(f"len(regexp_extract_all({name}, '\\S+')) AS {name}" for name in COLUMNS)
    measures = ", ".join(f"{function}({name})" for name in COLUMNS for function in MEASURES.values())
    row = connection.execute(f"SELECT {measures} FROM (SELECT {counted} FROM {source})").fetchone()
    values = iter(row)
    return {name: {word: float(next(values)) for word in MEASURES} for name in COLUMNS}


def main() -> None:
    """Count, clean and write, count what was written."""
    rows_dir, out_dir = map(Path, sys.argv[1:])
    out_dir.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(config={"threads": 2})
    rows, written = f"read_parquet('{rows_dir}/*.parquet')", out_dir / "rows.parquet"
    before = statistics(connection, rows)
    cleaned = ", ".join(f"{clean(name)} AS {name}" for name in COLUMNS)
    connection.execute(f"COPY (SELECT id, {cleaned} FROM {rows}) TO '{written}' (FORMAT parquet, COMPRESSION snappy)")
    print(json.dumps({"before": before, "after": statistics(connection, f"read_parquet('{written}')")}))


if __name__ == "__main__":
    main()
