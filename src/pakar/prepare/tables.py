"""Parquet files that grow: batches come in, one whole file goes out or none."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import polars as pl
import pyarrow.parquet as pq

from pakar import files


class Growing:
    """Writes batches to a Parquet file as they come, so that memory holds one batch; the file appears when the block ends well.

    Args:
        path: The file.
        schema: Columns written; others are left out. None: those of the first batch, and no file if none comes.

    Attributes:
        rows: Rows taken so far.
    """

    def __init__(self, path: Path, schema: pl.Schema | None) -> None:
        self.rows = 0
        self._path, self._schema = path, schema
        self._stack = ExitStack()
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Growing:
        if self._schema is not None:
            self._open(pl.DataFrame(schema=self._schema))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None and kind is None:
            self._writer.close()
        self._stack.__exit__(kind, error, trace)

    def add(self, batch: pl.DataFrame) -> None:
        """Take rows over."""
        if self._schema is not None:
            batch = batch.select(self._schema.names()).cast(self._schema)
        if self._writer is None:
            self._open(batch)
        if len(batch) and self._writer is not None:
            self._writer.write_table(batch.to_arrow(compat_level=pl.CompatLevel.oldest()))
            self.rows += len(batch)

    def _open(self, batch: pl.DataFrame) -> None:
        temporary = self._stack.enter_context(files.replacing(self._path))
        columns = batch.clear().to_arrow(compat_level=pl.CompatLevel.oldest()).schema
        self._writer = pq.ParquetWriter(temporary, columns, compression="zstd")
