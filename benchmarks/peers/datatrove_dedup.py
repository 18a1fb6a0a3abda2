"""Read, repair, hide e-mail addresses, remove near-duplicates with MinHash, write: with datatrove's own steps and defaults.

    python -m venv DIR && DIR/bin/pip install "datatrove[io,processing]==0.10.1" spacy
    DIR/bin/python benchmarks/peers/datatrove_dedup.py ROWS_DIR OUT_DIR --workers 2

Its words come from spaCy's rules for English, which need no download. Prints one line of JSON: rows in and out, seconds a step.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import ParquetWriter
from datatrove.utils.hashing import HashConfig


def both_columns(_: object, row: dict[str, Any], path: str, number: int) -> dict[str, Any]:
    """A row as datatrove's document: one text."""
    return {"text": f"{row['input']}\n{row['output']}", "id": row.get("id", f"{path}/{number}")}


def steps(rows_dir: Path, base: Path, config: MinhashConfig) -> dict[str, list[Any]]:
    """The four pipelines of a MinHash deduplication; the first one also cleans."""
    folder = {name: str(base / name) for name in ("clean", "signatures", "buckets", "removed", "kept")}
    return {
        "clean and sign": [
            ParquetReader(str(rows_dir), adapter=both_columns, glob_pattern="*.parquet"),
            FTFYFormatter(),
            PIIFormatter(),
            ParquetWriter(folder["clean"]),
            MinhashDedupSignature(output_folder=folder["signatures"], config=config),
        ],
        "buckets": [MinhashDedupBuckets(folder["signatures"], folder["buckets"], config=config)],
        "cluster": [MinhashDedupCluster(folder["buckets"], folder["removed"], config=config)],
        "filter and write": [
            ParquetReader(folder["clean"], glob_pattern="*.parquet"),
            MinhashDedupFilter(folder["removed"]),
            ParquetWriter(folder["kept"]),
        ],
    }


def main() -> None:
    """Run the four pipelines one after another."""
    parser = argparse.ArgumentParser(description="Clean and deduplicate with datatrove.")
    parser.add_argument("rows_dir", type=Path)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    config = MinhashConfig(hash_config=HashConfig(precision=64))
    tasks = {"buckets": config.num_buckets, "cluster": 1}
    seconds = {}
    for name, pipeline in steps(given.rows_dir, given.out_dir, config).items():
        started = time.perf_counter()
        LocalPipelineExecutor(
            pipeline=pipeline,
            tasks=tasks.get(name, given.workers),
            workers=min(given.workers, tasks.get(name, given.workers)),
            logging_dir=str(given.out_dir / "logs" / name.replace(" ", "-")),
        ).run()
        seconds[name] = round(time.perf_counter() - started, 2)
    counted = {"rows_in": count(given.rows_dir), "rows_out": count(given.out_dir / "kept")}
    print(json.dumps({**counted, "seconds": seconds}))


def count(directory: Path) -> int:
    """Rows of all Parquet files of a folder."""
    return sum(pq.ParquetFile(path).metadata.num_rows for path in directory.glob("*.parquet"))


if __name__ == "__main__":
    main()
