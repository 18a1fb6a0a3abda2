"""What is known about a source before its rows are read, and the rows themselves."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pakar.errors import DataError
from pakar.prepare.sources import columnar, delimited, json_files, plain_text, shapes
from pakar.prepare.sources.delimited import Dialect
from pakar.prepare.sources.formats import Format, recognise
from pakar.prepare.sources.opening import detect_encoding, existing, head, known_encoding
from pakar.prepare.sources.recognise import recognise as recognise_shape
from pakar.prepare.sources.recognise import unrecognised
from pakar.prepare.sources.rows import Broken, Record, Row
from pakar.recipe import AutoShape, PairsShape, Shape, Source, TextShape
from pakar.text import shorten

SAMPLE_ROWS = 1_000


@dataclass(frozen=True)
class Reading:
    """How a source will be read.

    Attributes:
        path: File or folder.
        format: Never `auto`.
        encoding: Empty for formats that hold no plain characters.
        dialect: How a CSV or TSV file is written; else None.
        columns: All column names that were seen.
        shape: Never `auto`.
    """

    path: Path
    format: Format
    encoding: str
    dialect: Dialect | None
    columns: tuple[str, ...]
    shape: Shape

    @property
    def name(self) -> str:
        """What stands in the `source` column."""
        return self.path.name


def resolve(source: Source) -> Reading:
    """Find out all that `auto` leaves open, and check what is declared.

    Raises:
        DataError: missing, empty or unreadable file, a declared column that is not there, a shape that is not clear.
    """
    path = existing(Path(source.path))
    form = _format(path, source)
    encoding = _encoding(path, source, form)
    wanted = shapes.columns_of(source.shape)
    dialect = delimited.survey(path, encoding, tabs=form == "tsv", wanted=wanted) if form in {"csv", "tsv"} else None
    raw = Reading(path, form, encoding, dialect, dialect.columns if dialect else (), source.shape)
    sample = _sample(raw)
    columns = _columns(raw, sample)
    shape = _shape(raw, columns, sample)
    return Reading(path, form, encoding, dialect, columns, shape)


def rows(reading: Reading, wanted: Sequence[str] | None = None) -> Iterator[Row | Broken]:
    """Every record of the source as the file holds it.

    Args:
        reading: The source.
        wanted: Columns that matter; formats that can leave others unread do. None: all.
    """
    path, encoding = reading.path, reading.encoding
    if reading.dialect is not None:
        return delimited.read(path, encoding, reading.dialect)
    readers: dict[str, Callable[[], Iterator[Row | Broken]]] = {
        "json": lambda: json_files.read_json(path, encoding),
        "jsonl": lambda: json_files.read_json_lines(path, encoding),
        "parquet": lambda: columnar.read_parquet(path, wanted),
        "excel": lambda: iter(columnar.read_excel(path, shapes.columns_of(reading.shape))[1]),
        "text": lambda: plain_text.read_text(path, encoding),
        "folder": lambda: plain_text.read_folder(path),
    }
    return readers[reading.format]()


def outcomes(reading: Reading) -> Iterator[Record | Broken]:
    """Every record as a conversation, or why it is none."""
    to_records = shapes.records(reading.shape)
    wanted = (*shapes.columns_of(reading.shape), *shapes.optional_columns_of(reading.shape))
    for row in rows(reading, wanted):
        if isinstance(row, Broken):
            yield row
        else:
            yield from to_records(row)


def _format(path: Path, source: Source) -> Format:
    if path.is_dir() != (source.format == "folder") and source.format != "auto":
        kind = "a folder" if path.is_dir() else "a file"
        raise DataError(
            f"{path} is {kind}, but the recipe says `format: {source.format}`", next_step="leave `format` out."
        )
    if source.format != "auto":
        if path.is_file():
            head(path, 1)
        return source.format
    return recognise(path)


def _encoding(path: Path, source: Source, form: Format) -> str:
    if form in {"parquet", "excel", "folder"}:
        return ""
    return detect_encoding(path) if source.encoding == "auto" else known_encoding(source.encoding)


def _sample(raw: Reading) -> list[Row]:
    """The first readable rows.

    Raises:
        DataError: there is none; the error tells what is wrong with the first record.
    """
    first_broken: Broken | None = None
    sample: list[Row] = []
    for row in rows(raw):
        if isinstance(row, Row):
            sample.append(row)
        elif first_broken is None:
            first_broken = row
        if len(sample) == SAMPLE_ROWS:
            break
    if sample:
        return sample
    if first_broken is None:
        names = f"; only the column names {', '.join(raw.columns)}" if raw.columns else ""
        raise DataError(f"{raw.path} holds no records{names}", next_step="check how the file was written or copied.")
    broken = f"{first_broken.reason}, {first_broken.detail}: {shorten(first_broken.text, 80)}"
    raise DataError(
        f"{raw.path} holds no readable record. The first: {broken}",
        next_step=f"it was read as {raw.format}; write the right `format` below the source's path if that is wrong.",
    )


def _columns(raw: Reading, sample: Sequence[Row]) -> tuple[str, ...]:
    if raw.columns:
        return raw.columns
    if raw.format == "parquet":
        return columnar.parquet_columns(raw.path)
    return tuple(dict.fromkeys(itertools.chain.from_iterable(row.values for row in sample)))


def _shape(raw: Reading, columns: Sequence[str], sample: Sequence[Row]) -> Shape:
    if raw.format in {"text", "folder"}:
        if isinstance(raw.shape, AutoShape | TextShape):
            return TextShape(column=plain_text.COLUMN)
        raise DataError(
            f"{raw.path} is plain text without columns, but the recipe says `shape: {{kind: {raw.shape.kind}}}`",
            next_step="use `shape: {kind: text}`, or bring the data as CSV or JSON.",
        )
    if isinstance(raw.shape, AutoShape):
        shape = recognise_shape(columns, sample)
        if shape is None:
            raise unrecognised(raw.path, columns, sample)
        return shape
    _check_columns(raw, columns)
    return raw.shape


def _check_columns(raw: Reading, columns: Sequence[str]) -> None:
    missing = [name for name in shapes.columns_of(raw.shape) if name not in columns]
    if missing and raw.format in {"json", "jsonl"}:  # a key may turn up late
        later = {name for row in rows(raw) if isinstance(row, Row) for name in missing if name in row.values}
        missing = [name for name in missing if name not in later]
    if not missing:
        return
    name = missing[0]
    near = difflib.get_close_matches(name.lower(), [column.lower() for column in columns], 1, cutoff=0.5)
    nearest = next((column for column in columns if near and column.lower() == near[0]), None)
    key = next((key for key, value in raw.shape if value == name), "column")
    advice = (
        f"write `{key}: {nearest}`."
        if nearest and isinstance(raw.shape, PairsShape | TextShape)
        else f"did you mean {nearest}?"
    )
    listed = ", ".join(shorten(column, 40) for column in columns[:20]) + (" …" if len(columns) > 20 else "")
    raise DataError(
        f"{raw.path} has no column {name!r}; it has {listed}",
        next_step=advice if nearest else "name one of these columns.",
    )
