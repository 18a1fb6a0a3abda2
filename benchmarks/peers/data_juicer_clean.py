"""Read, repair, hide e-mail addresses, remove near-duplicates with MinHash, write: with data-juicer's own operators and defaults.

    python -m venv DIR && DIR/bin/pip install py-data-juicer==1.6.1 aiohttp ftfy scipy
    DIR/bin/python benchmarks/peers/data_juicer_clean.py ROWS_DIR OUT_DIR --workers 2

data-juicer 1.6.1 imports aiohttp without asking for it, and installs ftfy and scipy by itself in the middle of a run when they
are not there. Prints one line of JSON: rows in and out, seconds a step. The operators are called directly on a dataset, as its `dj-process` does, without the checks of its command line.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from data_juicer.core.data import NestedDataset
from data_juicer.ops.deduplicator import DocumentMinhashDeduplicator
from data_juicer.ops.mapper import CleanEmailMapper, FixUnicodeMapper
from datasets import load_dataset


def load(rows_dir: Path) -> NestedDataset:
    """Rows with one text each."""
    files = sorted(str(path) for path in rows_dir.glob("*.parquet"))
    rows = load_dataset("parquet", data_files=files, split="train")
    joined = rows.map(
        lambda batch: {"text": [f"{one}\n{two}" for one, two in zip(batch["input"], batch["output"], strict=True)]},
        batched=True,
        remove_columns=["input", "output"],
    )
    return NestedDataset(joined)


def main() -> None:
    """Run operator after operator."""
    parser = argparse.ArgumentParser(description="Clean and deduplicate with data-juicer.")
    parser.add_argument("rows_dir", type=Path)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    seconds: dict[str, float] = {}

    def timed(name: str, step: Callable[[], NestedDataset]) -> NestedDataset:
        started = time.perf_counter()
        result = step()
        seconds[name] = round(time.perf_counter() - started, 2)
        return result

    rows = timed("read", lambda: load(given.rows_dir))
    repaired = timed("fix_unicode", lambda: rows.process(FixUnicodeMapper(num_proc=given.workers)))
    hidden = timed("clean_email", lambda: repaired.process(CleanEmailMapper(repl="[EMAIL]", num_proc=given.workers)))
    dedup = DocumentMinhashDeduplicator(window_size=5, jaccard_threshold=0.8, num_proc=given.workers)
    kept = timed("document_minhash", lambda: hidden.process(dedup))
    given.out_dir.mkdir(parents=True, exist_ok=True)
    timed("write", lambda: kept.to_parquet(str(given.out_dir / "kept.parquet")))
    print(json.dumps({"rows_in": len(rows), "rows_out": len(kept), "seconds": seconds}))


if __name__ == "__main__":
    main()
