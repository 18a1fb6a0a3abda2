"""Third task: the rows of one output file, in their order → examples, token shards, counts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import cast

import polars as pl

from pakar import examples, text
from pakar.conversation import SPLITS, Split
from pakar.prepare import kernel, keys, statistics, tokenise
from pakar.prepare.clean import Job, tools
from pakar.prepare.decide import Decision
from pakar.prepare.executor import Piece, Report, finish
from pakar.prepare.kernel import CHANGED, FLAGS
from pakar.prepare.operators.context import TOKEN_COLUMNS
from pakar.prepare.tables import Growing
from pakar.shards import SHARD_NAME

PART = "part-{:05d}.parquet"
DEALT = examples.schema(
    {**examples.SCHEMA, FLAGS: pl.List(pl.String), CHANGED: pl.UInt64, **TOKEN_COLUMNS, "place": pl.UInt64}
)
"""Columns of the rows that are gathered."""

LEARNT: tuple[Split, ...] = ("train", "validation")
"""Splits that training reads."""


def gather_pieces(job: Job, decision: Decision) -> list[Piece]:
    """One piece for every output file."""
    outputs = [(split, bucket) for split in SPLITS for bucket in range(decision.files[split])]
    return [Piece(number, job.spool.report("gather", number), what) for number, what in enumerate(outputs)]


def gather(job: Job, piece: Piece) -> Report:
    """Write one output file of a split.

    Args:
        job: The run's.
        piece: `what` is (split, number of the file).
    """
    split, bucket = cast("tuple[Split, int]", piece.what)
    rows = _rows(job.spool.dealt(split, bucket))
    write(job, split, bucket, rows)
    names = [step.name for step in tools(job).steps]
    report: Report = {
        "split": split,
        "rows": len(rows),
        "changed": dict(kernel.changes(rows, names))
        | ({"truncate": cut} if (cut := int(rows["truncated"].sum())) else {}),
        "flagged": dict(Counter(rows[FLAGS].explode(empty_as_null=False).to_list())),
        "counts": statistics.count(rows),
        "fingerprint": text.fingerprint(*rows["id"], *rows["group"]),
    }
    return finish(piece, report)


def write(job: Job, split: Split, number: int, rows: pl.DataFrame) -> None:
    """Write rows as examples and, where training reads them, as token sequences."""
    directory = job.directory
    with Growing(directory / "examples" / split / PART.format(number), examples.SCHEMA) as file:
        file.add(rows)
    if split in LEARNT:
        tokenise.write_shard(directory / "tokens" / split / SHARD_NAME.format(number), rows, job.context_tokens)


def _rows(folder: Path) -> pl.DataFrame:
    """All rows that were dealt to an output file, in the order of their places; the id decides between equal places."""
    columns = [name for name in DEALT.names() if name != "augmented"]
    found = [pl.read_parquet(path, columns=columns) for path in sorted(folder.glob("*.parquet"))]
    if not found:
        return pl.DataFrame(schema=DEALT)
    rows = pl.concat(found).sort("place", "id")
    group = pl.Series("group", [keys.name(key) for key in rows["group"]], pl.String)
    return rows.with_columns(group, pl.lit(value=False).alias("augmented")).select(DEALT.names())
