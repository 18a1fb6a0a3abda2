"""Growing Parquet folders: rows come in batches, files of bounded size go out."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from pakar import files


class Folder:
    """Collects batches and writes them as `part-00000.parquet`, `part-00001.parquet` and so on.

    Args:
        directory: Emptied first.
        schema: Columns written; others are left out.
        rows_per_file: Rows held in memory before a file is written.
    """

    def __init__(self, directory: Path, schema: pl.Schema, rows_per_file: int = 50_000) -> None:
        files.remove(directory)
        directory.mkdir(parents=True)
        self._directory, self._schema, self._rows_per_file = directory, schema, rows_per_file
        self._pending: list[pl.DataFrame] = []
        self._files = 0

    def add(self, batch: pl.DataFrame) -> None:
        """Take rows over."""
        if len(batch):
            self._pending.append(batch.select(self._schema.names()).cast(self._schema))
        if sum(map(len, self._pending)) >= self._rows_per_file:
            self._flush()

    def close(self) -> list[Path]:
        """Write what is left; an empty folder gets one empty file, so that its columns can be read. Returns the files."""
        if self._pending or not self._files:
            self._flush()
        return sorted(self._directory.glob("*.parquet"))

    def _flush(self) -> None:
        rows = pl.concat(self._pending) if self._pending else pl.DataFrame(schema=self._schema)
        with files.replacing(self._directory / f"part-{self._files:05d}.parquet") as temporary:
            rows.write_parquet(temporary, compression="zstd")
        self._files += 1
        self._pending = []
