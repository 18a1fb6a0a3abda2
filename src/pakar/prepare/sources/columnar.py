"""Parquet and Excel → rows. Parquet is streamed; a workbook is read whole."""

from __future__ import annotations

import shutil
import tempfile
from bisect import bisect_left
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import fastexcel
import pyarrow as pa
import pyarrow.parquet as pq

from pakar.errors import DataError
from pakar.prepare.sources.characters import mend
from pakar.prepare.sources.headers import column_names, is_header, numbered
from pakar.prepare.sources.opening import is_compressed, open_bytes, whole_bytes
from pakar.prepare.sources.rows import BATCH_CHARACTERS, Row

ROWS_AT_ONCE = 1_000
"""Rows that become Python objects at a time."""
PAGE_BYTES = 1 << 20


def parquet_columns(path: Path) -> tuple[str, ...]:
    """Names of the top-level columns."""
    return tuple(open_parquet(path).schema_arrow.names)


def read_parquet(
    path: Path, wanted: Collection[str] | None = None, *, groups: range | None = None, first: int = 1
) -> Iterator[Row]:
    """Every row.

    Args:
        path: The file.
        wanted: Columns to read, so that wide ones nobody asked for (embeddings, pictures) cost nothing. None: all.
        groups: Numbers of the row groups to read. None: all.
        first: Offset of the first row of these.
    """
    offset = first
    for batch in record_batches(path, wanted, groups=groups, first=first, most_rows=ROWS_AT_ONCE):
        for values in as_rows(batch):
            yield Row(offset, values)
            offset += 1


def record_batches(
    path: Path, wanted: Collection[str] | None, *, groups: range | None, first: int, most_rows: int
) -> Iterator[pa.RecordBatch]:
    """Rows in batches of at most `most_rows` rows and, judged by the mean row, 16 MB.

    Raises:
        DataError: the file breaks off or is damaged; names the last good row.
    """
    file = open_parquet(path)
    names = None if wanted is None else [name for name in file.schema_arrow.names if name in wanted]
    chosen = range(file.metadata.num_row_groups) if groups is None else groups
    offset = first - 1
    try:
        at_once = min(most_rows, _rows_of(BATCH_CHARACTERS, file, chosen, names))
        for batch in file.iter_batches(
            batch_size=at_once,
            row_groups=list(chosen),
            columns=names,
            use_threads=False,
        ):
            yield batch.replace_schema_metadata(None)  # Polars cannot read a writer's notes that are no text
            offset += len(batch)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is damaged after row {offset:,}: {error}", next_step="copy or download the file again."
        ) from None


def _rows_of(size: int, file: pq.ParquetFile, groups: range, names: list[str] | None) -> int:
    """How many rows of the fattest row group make `size` bytes in the columns `names`."""
    fattest = max((_bytes_per_row(file.metadata.row_group(number), names) for number in groups), default=1.0)
    return max(1, int(size / max(fattest, 1.0)))


def _bytes_per_row(group: pq.RowGroupMetaData, names: list[str] | None) -> float:
    columns = (group.column(position) for position in range(group.num_columns))
    size = sum(
        column.total_uncompressed_size
        for column in columns
        if names is None or any(f"{column.path_in_schema}.".startswith(f"{name}.") for name in names)
    )
    return float(size / max(group.num_rows, 1))


def as_rows(batch: pa.RecordBatch | pa.Table) -> list[dict[str, Any]]:
    """Rows as dictionaries. Text that is not UTF-8, which some writers let pass, is read as cp1252 where it is not."""
    try:
        return list(batch.to_pylist())
    except UnicodeDecodeError:
        columns = [_decoded(column) for column in batch.columns]
        return [dict(zip(batch.schema.names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _decoded(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        cells = column.cast(pa.large_binary()).to_pylist()
        return [None if cell is None else mend(cell.decode("utf-8", "surrogateescape")) for cell in cells]
    return [_value(cell) for cell in column]


def _value(cell: pa.Scalar) -> Any:
    try:
        return cell.as_py()
    except UnicodeDecodeError:  # deep inside a list or object
        return None


def spans(path: Path, *, most_rows: int, most_bytes: int) -> list[tuple[int, int]]:
    """Offset of the first row, and number of rows, of runs of row groups that stay below both limits where they can."""
    found: list[tuple[int, int]] = []
    first, rows, size = 1, 0, 0
    file = open_parquet(path)
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        if rows and (rows + group.num_rows > most_rows or size + group.total_byte_size > most_bytes):
            found.append((first, rows))
            first, rows, size = first + rows, 0, 0
        rows, size = rows + group.num_rows, size + group.total_byte_size
    return [*found, (first, rows)] if rows else found


def groups_between(path: Path, first: int, rows: int) -> range:
    """Numbers of the row groups that hold the rows from offset `first` on."""
    metadata = open_parquet(path).metadata
    starts = [1]
    for number in range(metadata.num_row_groups):
        starts.append(starts[-1] + metadata.row_group(number).num_rows)
    return range(bisect_left(starts, first), bisect_left(starts, first + rows))


def open_parquet(path: Path) -> pq.ParquetFile:
    """The file, its foot read and checked.

    Raises:
        DataError: it is none, or cut off: its description stands at its end.
    """
    try:
        file = _unpacked(path) if is_compressed(path) else path
        opened = pq.ParquetFile(file, pre_buffer=False, buffer_size=PAGE_BYTES)
        opened.schema_arrow.names  # noqa: B018 - names that are no text show here
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is not a readable Parquet file, or cut off (0 good rows): {error}",
            next_step="copy or download the file again.",
        ) from None
    return opened


def _unpacked(path: Path) -> pa.NativeFile:
    """The decompressed file in a place for temporary files, from where it vanishes when it is no longer used."""
    descriptor, name = tempfile.mkstemp(prefix="pakar-")
    try:
        with open(descriptor, "wb") as file, open_bytes(path) as packed:  # noqa: PTH123 - a descriptor
            shutil.copyfileobj(packed, file, PAGE_BYTES)
        return pa.OSFile(name)
    finally:
        Path(name).unlink()


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
