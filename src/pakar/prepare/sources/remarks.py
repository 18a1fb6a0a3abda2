"""What a person should know about how a source is read, one sentence each."""

from __future__ import annotations

from pakar.prepare.sources.names import plain
from pakar.prepare.sources.opening import lines_with_stray_bytes
from pakar.prepare.sources.reading import PLAIN, Reading, files_of, rows
from pakar.prepare.sources.rows import Row
from pakar.prepare.sources.shapes import PREFERRED, columns_of, is_blank, optional_columns_of
from pakar.prepare.sources.values import NotTextError, text_of
from pakar.recipe import MessagesShape, PairsShape
from pakar.text import shorten

MOST_COLUMNS = 12


def remarks(reading: Reading) -> list[str]:
    """Sentences about header, delimiter, encoding, and which columns are used. Counts are over the whole file."""
    return [*_file_remarks(reading), *_shape_remarks(reading)]


def _file_remarks(reading: Reading) -> list[str]:
    found = []
    if reading.root is not None:
        found.append(f"It is read as one table in {sum(1 for _ in files_of(reading)):,} files.")
    if reading.dialect and not reading.dialect.header:
        found.append(
            f"The file has no line with column names; its columns are called {', '.join(reading.columns[:4])}."
        )
    if reading.dialect and reading.format == "csv" and reading.dialect.delimiter != ",":
        found.append(f"Cells are separated by {reading.dialect.delimiter!r}.")
    stray = sum(lines_with_stray_bytes(file.path, file.encoding) for file in files_of(reading) if file.encoding)
    if stray:
        found.append(f"Lines that hold bytes which are not UTF-8: {stray:,}; these bytes are read as cp1252.")
    return found


def _shape_remarks(reading: Reading) -> list[str]:
    shape, found = reading.shape, []
    if isinstance(shape, PairsShape) and shape.fallback and (count := _empty_cells(reading, shape.question)):
        found.append(f"{count:,} empty questions in {shape.question}; {shape.fallback} is used instead.")
    if isinstance(shape, PairsShape) and plain(shape.answer) in {PREFERRED, "responsej"}:
        found.append(f"Of two answers the preferred one ({shape.answer}) is used.")
    if isinstance(shape, MessagesShape) and PREFERRED in reading.columns and shape.column != PREFERRED:
        found.append(f"Of two answers the preferred one ({PREFERRED}) is used.")
    unused = [
        name for name in reading.columns if name not in {*columns_of(shape), *optional_columns_of(shape), reading.label}
    ]
    if unused and reading.format not in PLAIN:
        listed = ", ".join(shorten(name, 40) for name in unused[:MOST_COLUMNS])
        found.append(f"Columns not used: {listed}{' …' if len(unused) > MOST_COLUMNS else ''}.")
    return found


def _empty_cells(reading: Reading, column: str) -> int:
    found = (row for file in files_of(reading) for row in rows(file, [column]))
    return sum(isinstance(row, Row) and _is_empty(row.values.get(column)) for row in found)


def _is_empty(value: object) -> bool:
    try:
        return is_blank(text_of(value))
    except NotTextError:
        return False
