"""Parquet and Excel → rows. Parquet is streamed; a workbook is read whole."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import fastexcel
import pyarrow as pa
import pyarrow.parquet as pq

from pakar.errors import DataError
from pakar.prepare.sources.headers import column_names, is_header, numbered
from pakar.prepare.sources.opening import is_compressed, whole_bytes
from pakar.prepare.sources.rows import Row

PARQUET_BATCH_ROWS = 1_000


def parquet_columns(path: Path) -> tuple[str, ...]:
    """Names of the top-level columns."""
    return tuple(_parquet(path).schema_arrow.names)


def read_parquet(path: Path, wanted: Collection[str] | None = None) -> Iterator[Row]:
    """Every row.

    Args:
        path: The file.
        wanted: Columns to read, so that wide ones nobody asked for (embeddings, pictures) cost nothing. None: all.
    """
    file = _parquet(path)
    names = None if wanted is None else [name for name in file.schema_arrow.names if name in wanted]
    offset = 0
    try:
        for batch in file.iter_batches(batch_size=PARQUET_BATCH_ROWS, columns=names):
            for values in batch.to_pylist():
                offset += 1
                yield Row(offset, values)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path} is damaged after row {offset:,}: {error}", next_step="copy or download the file again."
        ) from None


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(io.BytesIO(whole_bytes(path)) if is_compressed(path) else path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path} is not a readable Parquet file: {error}", next_step="copy or download the file again."
        ) from None


def read_excel(path: Path, wanted: Collection[str] = ()) -> tuple[tuple[str, ...], list[Row]]:
    """Column names and rows of the one sheet that holds any; numbers and dates come as text, empty rows are no rows.

    Raises:
        DataError: not a workbook, or several sheets hold rows.
    """
    try:
        book = fastexcel.read_excel(whole_bytes(path))
        sheets = {name: _cells(book, name) for name in book.sheet_names}
    except fastexcel.FastExcelError as error:
        raise DataError(
            f"{path} is not a readable workbook: {error}", next_step="save it as CSV and name that file."
        ) from None
    filled = {name: rows for name, rows in sheets.items() if rows}
    if len(filled) != 1:
        found = f"several sheets with rows: {', '.join(filled)}" if filled else "no rows"
        raise DataError(f"{path} holds {found}", next_step="save the one sheet you want as CSV and name that file.")
    (rows,) = filled.values()
    header = is_header(rows[0], wanted)
    columns = column_names(rows[0]) if header else numbered(len(rows[0]))
    return columns, [
        Row(n, dict(zip(columns, cells, strict=True))) for n, cells in enumerate(rows[1:] if header else rows, 1)
    ]


def _cells(book: Any, sheet: str) -> list[list[str]]:
    """All rows with content, as text; cells right of the last used column are no cells."""
    table = book.load_sheet(sheet, header_row=None, dtypes="string").to_arrow()
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    filled = [[cell or "" for cell in row] for row in rows if any(row)]
    width = max((position + 1 for row in filled for position, cell in enumerate(row) if cell), default=0)
    return [row[:width] for row in filled]
