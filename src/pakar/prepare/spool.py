"""The spool: what the tasks of preparation leave for one another, below the stage's directory. Only this module knows its names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow.parquet as pq

from pakar import files
from pakar.conversation import Split
from pakar.prepare.frames import RECORDS, REJECTED, Sieved
from pakar.prepare.tables import Growing

BATCH_ROWS = 10_000


class Spool(NamedTuple):
    """Paths and formats.

    Attributes:
        stage: Directory of the prepare stage.
    """

    stage: Path

    @property
    def directory(self) -> Path:
        """Removed when preparation has finished."""
        return self.stage / "spool"

    def report(self, step: str, number: int) -> Path:
        """Report of a piece of a step."""
        return self.directory / "reports" / step / f"{number:05d}.json"

    def cleaned(self, number: int) -> Path:
        """Cleaned rows of a shard."""
        return self.directory / "cleaned" / f"{number:05d}.parquet"

    def fates(self, number: int) -> Path:
        """What becomes of each row of a cleaned shard, in the same order."""
        return self.directory / "fates" / f"{number:05d}.parquet"

    def dealt(self, split: Split, bucket: int) -> Path:
        """Folder with the rows of one output file, one file for each shard they come from."""
        return self.directory / "dealt" / split / f"{bucket:05d}"

    def rejected(self, number: int, step: str) -> Path:
        """Rejected rows of a shard; these stay."""
        return self.stage / "rejected" / f"part-{number:05d}-{step}.parquet"

    def write_raw(self, number: int, batches: Iterable[Sieved]) -> None:
        """Keep the records of a shard until it is cleaned."""
        kept, rejected = self._raw(number)
        with Growing(kept, RECORDS) as good, Growing(rejected, REJECTED) as bad:
            for batch in batches:
                good.add(batch.kept)
                bad.add(batch.rejected)

    def read_raw(self, number: int) -> Iterator[Sieved]:
        """The records of a shard, in batches."""
        kept, rejected = self._raw(number)
        yield Sieved(pl.DataFrame(schema=RECORDS), pl.read_parquet(rejected))
        for batch in rows_of(kept):
            yield Sieved(batch, pl.DataFrame(schema=REJECTED))

    def forget_raw(self, number: int) -> None:
        """The shard is cleaned."""
        for path in self._raw(number):
            files.remove(path)

    def _raw(self, number: int) -> tuple[Path, Path]:
        folder = self.directory / "raw"
        return folder / f"{number:05d}.parquet", folder / f"{number:05d}.rejected.parquet"


def rows_of(path: Path) -> Iterator[pl.DataFrame]:
    """The rows of a Parquet file, in batches."""
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(BATCH_ROWS):
            yield pl.DataFrame(pl.from_arrow(batch))
