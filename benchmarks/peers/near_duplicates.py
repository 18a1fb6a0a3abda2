"""Near-duplicates with datasketch or datatrove, for `benchmarks.near_duplicates`; runs in an environment of its own."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl

Pairs = list[tuple[str, str]]


def contents(directory: Path) -> dict[str, str]:
    """Id → question and answer as one text."""
    rows = pl.read_parquet(directory / "rows-*.parquet")
    return {row["id"]: "\n".join(m["content"] for m in row["messages"]) for row in rows.iter_rows(named=True)}


def datasketch(texts: dict[str, str], _: Path) -> Pairs:
    """Each row that meets an earlier one, with the first that it meets."""
    from datasketch import MinHash, MinHashLSH  # noqa: PLC0415

    index, found = MinHashLSH(num_perm=96, params=(16, 6)), []
    for name, text in texts.items():
        words = re.findall(r"\w+", text.lower())
        grams = {" ".join(words[start : start + 5]).encode() for start in range(max(1, len(words) - 4))}
        signature = MinHash(num_perm=96)
        signature.update_batch(grams)
        met = index.query(signature)
        if met:
            found.append((name, min(met)))
        else:
            index.insert(name, signature)
    return found


def datatrove(texts: dict[str, str], directory: Path) -> Pairs:
    """Each row that its clusters remove, with the row of the cluster that stays."""
    from datatrove.executor import LocalPipelineExecutor  # noqa: PLC0415
    from datatrove.pipeline.dedup import (  # noqa: PLC0415
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig  # noqa: PLC0415
    from datatrove.pipeline.readers import JsonlReader  # noqa: PLC0415
    from datatrove.pipeline.writers.jsonl import JsonlWriter  # noqa: PLC0415
    from datatrove.utils.hashing import HashConfig  # noqa: PLC0415

    base, config = directory / "datatrove", MinhashConfig(hash_config=HashConfig(precision=64))
    (base / "in").mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"id": name, "text": text}) for name, text in texts.items())
    (base / "in" / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    read, folder = JsonlReader(str(base / "in")), {step: str(base / step) for step in ("sign", "buckets", "ids")}

    def writer(name: str) -> JsonlWriter:
        return JsonlWriter(str(base / name), compression=None)

    def written(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for path in (base / name).rglob("*.jsonl") for line in path.open(encoding="utf-8")]

    steps = [
        [read, MinhashDedupSignature(output_folder=folder["sign"], config=config)],
        [MinhashDedupBuckets(input_folder=folder["sign"], output_folder=folder["buckets"], config=config)],
        [MinhashDedupCluster(folder["buckets"], folder["ids"], config=config, save_cluster_id=True)],
        [
            read,
            MinhashDedupFilter(folder["ids"], load_cluster_ids=True, exclusion_writer=writer("removed")),
            writer("kept"),
        ],
    ]
    for number, pipeline in enumerate(steps):
        tasks = config.num_buckets if number == 1 else 1
        LocalPipelineExecutor(pipeline=pipeline, tasks=tasks, workers=1, logging_dir=str(base / f"log{number}")).run()
    kept = {row["metadata"]["minhash_cluster_id"]: row["id"] for row in written("kept")}
    return [(row["id"], kept[row["metadata"]["minhash_cluster_id"]]) for row in written("removed")]


def main() -> None:
    """Write the pairs found and print the processor time."""
    tool, directory = {"datasketch": datasketch, "datatrove": datatrove}[sys.argv[1]], Path(sys.argv[2])
    texts = contents(directory)
    tool(dict(list(texts.items())[:50]), directory / "warm")  # imports do not count
    started = time.process_time()
    found = tool(texts, directory)
    print(round(time.process_time() - started, 1))
    pl.DataFrame(found, schema=["dropped", "kept"], orient="row").write_parquet(directory / "found.parquet")


if __name__ == "__main__":
    main()
