"""Second task: the cleaned rows of one shard, each to the output file that was decided for it, or to the rejected rows."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

import polars as pl

from pakar.conversation import SPLITS
from pakar.prepare import keys
from pakar.prepare.clean import Job
from pakar.prepare.executor import Piece, Report, finish
from pakar.prepare.frames import REJECTED, nothing, reject
from pakar.prepare.key_table import REASONS
from pakar.prepare.ledger import SETTLED_BY
from pakar.prepare.spool import rows_of
from pakar.prepare.tables import Growing

DETAILS = {
    "duplicate": "all messages equal those of an earlier row",
    "near_duplicate": "nearly the same as another row",
    "not_sampled": "not among the rows drawn by seed",
}


def deal_pieces(job: Job, cleaned: Iterable[Report]) -> list[Piece]:
    """One piece for every shard with cleaned rows."""
    return [Piece(report["number"], job.spool.report("deal", report["number"])) for report in cleaned]


def deal(job: Job, piece: Piece) -> Report:
    """Deal the rows of one shard out.

    Args:
        job: The run's.
        piece: Its number is the shard's.
    """
    spool = job.spool
    fates = pl.read_parquet(spool.fates(piece.number))
    start = 0
    with ExitStack() as stack:
        rejected = stack.enter_context(Growing(spool.rejected(piece.number, "deal"), REJECTED))
        outputs: dict[tuple[int, int], Growing] = {}
        for cleaned in rows_of(spool.cleaned(piece.number)):
            batch = _with_fates(cleaned, fates.slice(start, len(cleaned)))
            start += len(batch)
            rejected.add(_rejected(batch))
            kept = batch.filter(pl.col("fate") < len(SPLITS))
            for key, rows in kept.partition_by("fate", "bucket", as_dict=True, include_key=False).items():
                fate, bucket = int(key[0]), int(key[1])
                if (fate, bucket) not in outputs:
                    path = spool.dealt(SPLITS[fate], bucket) / f"{piece.number:05d}.parquet"
                    outputs[fate, bucket] = stack.enter_context(Growing(path, None))
                outputs[fate, bucket].add(rows.drop("detail", "copy"))
    report: Report = {"rows": start}
    return finish(piece, report)


def _with_fates(batch: pl.DataFrame, fates: pl.DataFrame) -> pl.DataFrame:
    batch = batch.drop("group", "place").hstack(fates)
    copies = batch["copy"].to_list()
    if not any(copies):
        return batch
    ids = [keys.copy_id(identity, copy) for identity, copy in zip(batch["id"], copies, strict=True)]
    return batch.with_columns(pl.Series("id", ids, pl.String))


def _rejected(batch: pl.DataFrame) -> pl.DataFrame:
    parts = [nothing(REJECTED)]
    for code, reason in enumerate(REASONS, len(SPLITS)):
        rows = batch.filter(pl.col("fate") == code)
        detail = pl.coalesce("detail", pl.lit(DETAILS[reason]))
        parts.append(reject(rows, reason, SETTLED_BY[reason], detail))
    return pl.concat(parts)
