"""What is known about a source before its rows are read, and the rows themselves."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pakar.errors import DataError
from pakar.prepare.sources import chat, columnar, conll, delimited, hub, json_files, parts, plain_text, shapes
from pakar.prepare.sources.delimited import Dialect
from pakar.prepare.sources.documents import COLUMN, read_document
from pakar.prepare.sources.formats import Format, recognise
from pakar.prepare.sources.opening import detect_encoding, head, known_encoding
from pakar.prepare.sources.recognise import label, unrecognised
from pakar.prepare.sources.recognise import recognise as recognise_shape
from pakar.prepare.sources.rows import Broken, Record, Row, telling_where
from pakar.prepare.sources.values import label_of
from pakar.recipe import AutoShape, PairsShape, Shape, Source, TextShape, TurnsShape
from pakar.text import shorten

SAMPLE_ROWS = 1_000
PLAIN = ("text", "conll", "document", "folder")
"""Formats without columns."""


@dataclass(frozen=True)
class Reading:
    """How a source will be read. Small, and can be sent to other processes.

    Attributes:
        path: File, folder or pattern.
        format: Never `auto`. Of several files, that of the first.
        encoding: Empty for formats that hold no plain characters.
        dialect: How a CSV or TSV file is written; else None.
        columns: All column names that were seen.
        shape: Never `auto`.
        source: What the recipe says.
        root: Of a table in several files, the folder below which they lie; else None.
        part: Of one of several files, its name below `root`.
    """

    path: Path
    format: Format
    encoding: str
    dialect: Dialect | None
    columns: tuple[str, ...]
    shape: Shape
    source: Source
    root: Path | None = None
    part: str = ""

    @property
    def name(self) -> str:
        """What stands in the `source` column of a single file."""
        return self.part or self.path.name

    @property
    def label(self) -> str | None:
        """Column with the kind of row."""
        return self.source.label

    @property
    def wanted(self) -> tuple[str, ...]:
        """Columns that matter."""
        named = (*shapes.columns_of(self.shape), *shapes.optional_columns_of(self.shape))
        return (*named, self.label) if self.label else named


def resolve(source: Source) -> Reading:
    """Find out all that `auto` leaves open, and check what is declared. Of several files, by the first with records.

    Raises:
        DataError: missing, empty or unreadable file, a declared column that is not there, a shape that is not clear.
    """
    if hub.is_hub(source):
        return _resolve_hub(hub.pinned(source))
    found = parts.find(source.path, source.format)
    if found is None:
        return _resolve_file(Path(source.path), source)
    if found.documents:
        return _resolve_documents(source)
    for path in found.files:
        try:
            first = _resolve_file(path, source)
        except NoRecordsError:
            continue
        return replace(first, path=Path(source.path), root=found.root)
    raise NoRecordsError(f"no file of {source.path} holds a record", next_step="check how they were written or copied.")


class NoRecordsError(DataError):
    """A file is in order, but there is nothing in it."""


def _resolve_file(path: Path, source: Source) -> Reading:
    raw = _open(path, source)
    sample = _sample(raw)
    columns = _columns(raw, sample)
    return replace(raw, columns=columns, shape=_shape(raw, columns, sample))


def _resolve_hub(source: Source) -> Reading:
    raw = Reading(Path(source.path), "hub", "", None, (), source.shape, source)
    sample = _sample(raw)
    columns = _columns(raw, sample)
    return replace(raw, columns=columns, shape=_shape(raw, columns, sample))


def _resolve_documents(source: Source) -> Reading:
    raw = Reading(Path(source.path), "folder", "", None, (COLUMN,), source.shape, source)
    return replace(raw, shape=_shape(raw, raw.columns, ()))


def _open(path: Path, source: Source) -> Reading:
    """What a file's beginning tells; `columns` is empty where its rows would have to be read."""
    form = _format(path, source)
    encoding = _encoding(path, source, form)
    wanted = [*shapes.columns_of(source.shape), *([source.label] if source.label else [])]
    dialect = delimited.survey(path, encoding, tabs=form == "tsv", wanted=wanted) if form in {"csv", "tsv"} else None
    return Reading(path, form, encoding, dialect, dialect.columns if dialect else (), source.shape, source)


def files_of(reading: Reading) -> Iterator[Reading]:
    """One reading for every file of a table; documents stay together.

    Raises:
        DataError: a file has not the columns that are used; the error names it.
    """
    if reading.root is None:
        yield reading
        return
    found = parts.find(reading.source.path, reading.source.format)
    for path in found.files if found else ():
        yield file_of(reading, path)


def file_of(reading: Reading, path: Path) -> Reading:
    """`reading` for one of its files: same shape, but with the encoding and the delimiter of this one.

    Raises:
        DataError: as `files_of`.
    """
    if reading.root is None:
        return reading
    raw = _open(path, reading.source.model_copy(update={"shape": reading.shape}))
    if raw.format == "parquet":
        raw = replace(raw, columns=columnar.parquet_columns(path))
    if raw.columns:
        _check_alike(raw, reading)
    return replace(raw, source=reading.source, root=reading.root, part=path.relative_to(reading.root).as_posix())


def _check_alike(raw: Reading, reading: Reading) -> None:
    """Like `_check_columns` for one of several files; the error names the odd one out, which may be the first."""
    try:
        _check_columns(raw, raw.columns)
    except DataError as error:
        found = parts.find(reading.source.path, reading.source.format)
        alike = [path for path in found.files if set(_columns_at(path, reading)) >= set(raw.columns)] if found else []
        if found is None or len(alike) <= len(found.files) / 2:
            raise
        odd = next(path for path in found.files if path not in alike)
        raise DataError(
            f"{odd} has other columns than {len(alike):,} of the {len(found.files):,} files in {found.root}: "
            f"it has {_listed(_columns_at(odd, reading))}; {raw.path.name} has {_listed(raw.columns)}",
            next_step="move it elsewhere and name it as a source of its own, or name the others by a pattern.",
        ) from error


def _columns_at(path: Path, reading: Reading) -> tuple[str, ...]:
    try:
        raw = _open(path, reading.source)
        return columnar.parquet_columns(path) if raw.format == "parquet" else raw.columns
    except DataError:
        return ()


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
        "conll": lambda: conll.read_conll(path, encoding),
        "chat": lambda: chat.read_chat(path, encoding),
        "hub": lambda: hub.rows(reading.source),
        "document": lambda: document(reading, path),
        "folder": lambda: _documents(reading),
    }
    return readers[reading.format]()


def _documents(reading: Reading) -> Iterator[Row | Broken]:
    found = parts.find(reading.source.path, "folder")
    return itertools.chain.from_iterable(document(reading, path) for path in found.files) if found else iter(())


def document(reading: Reading, path: Path) -> Iterator[Row | Broken]:
    """The passages of one document of a folder or pattern, or of a single one."""
    root = parts.root_of(reading.source.path)
    return read_document(path, path.relative_to(root).as_posix() if root else path.name, _passage_words(reading), root)


def _passage_words(reading: Reading) -> int:
    return reading.shape.passage_words if isinstance(reading.shape, TextShape) else TextShape().passage_words


def outcomes(reading: Reading) -> Iterator[Record | Broken]:
    """Every record of one file, or of all documents, as a conversation, or why it is none."""
    return outcomes_of(rows(reading, reading.wanted), reading)


def outcomes_of(found: Iterable[Row | Broken], reading: Reading) -> Iterator[Record | Broken]:
    """The same for rows that were read already."""
    to_records, label = shapes.records(reading.shape), reading.label
    for row in found:
        if isinstance(row, Broken):
            yield row
        elif label is None:
            yield from to_records(row)
        else:
            kind = label_of(row.values.get(label))
            yield from (one._replace(label=kind) if isinstance(one, Record) else one for one in to_records(row))


def _format(path: Path, source: Source) -> Format:
    if source.format == "folder":  # a folder has other ways
        raise DataError(f"{path} is a file, but the recipe says `format: folder`", next_step="leave `format` out.")
    if source.format != "auto":
        head(path, 1)
        return source.format
    return recognise(path)


def _encoding(path: Path, source: Source, form: Format) -> str:
    if form in {"parquet", "excel", "folder", "document", "hub"}:
        return ""
    return detect_encoding(path) if source.encoding == "auto" else known_encoding(source.encoding)


def _sample(raw: Reading) -> list[Row]:
    """The first readable rows.

    Raises:
        DataError: there is none; the error tells what is wrong with the first record.
    """
    first_broken: Broken | None = None
    sample: list[Row] = []
    try:
        for row in telling_where(rows(raw)):
            if isinstance(row, Row):
                sample.append(row)
            elif first_broken is None:
                first_broken = row
            if len(sample) == SAMPLE_ROWS:
                break
    except DataError:  # told again, with what was good, when the records are read
        if not sample:
            raise
    if sample:
        return sample
    if first_broken is None:
        names = f"; only the column names {', '.join(raw.columns)}" if raw.columns else ""
        raise NoRecordsError(
            f"{raw.path} holds no records{names}", next_step="check how the file was written or copied."
        )
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
    if raw.format in PLAIN:
        if raw.label:
            raise DataError(f"{raw.path} has no columns, so none can be its label", next_step="leave `label` out.")
        if isinstance(raw.shape, TextShape):
            return raw.shape.model_copy(update={"column": COLUMN})
        if isinstance(raw.shape, AutoShape):
            return TextShape(column=COLUMN)
        raise DataError(
            f"{raw.path} is plain text without columns, but the recipe says `shape: {{kind: {raw.shape.kind}}}`",
            next_step="use `shape: {kind: text}`, or bring the data as CSV or JSON.",
        )
    if isinstance(raw.shape, AutoShape) and raw.format == "chat":
        return TurnsShape()
    if isinstance(raw.shape, AutoShape):
        shape = recognise_shape(columns, sample)
        if shape is None:
            raise unrecognised(raw.path, columns, sample)
        _check_columns(replace(raw, shape=shape), columns)
        return shape
    _check_columns(raw, columns)
    return raw.shape


def _check_columns(raw: Reading, columns: Sequence[str]) -> None:
    wanted = [*shapes.columns_of(raw.shape), *([raw.label] if raw.label else [])]
    missing = [name for name in wanted if name not in columns]
    if missing and raw.format in {"json", "jsonl"}:  # a key may turn up late
        later = {name for row in rows(raw) if isinstance(row, Row) for name in missing if name in row.values}
        missing = [name for name in missing if name not in later]
    if not missing:
        return
    name = missing[0]
    near = difflib.get_close_matches(name.lower(), [column.lower() for column in columns], 1, cutoff=0.5)
    nearest = next((column for column in columns if near and column.lower() == near[0]), None)
    key = next((key for key, value in raw.shape if value == name), "label")
    advice = (
        f"write `{key}: {nearest}`."
        if nearest and isinstance(raw.shape, PairsShape | TextShape)
        else f"did you mean {nearest}?"
    )
    raise DataError(
        f"{raw.path} has no column {name!r}; it has {_listed(columns)}",
        next_step=advice if nearest else "name one of these columns.",
    )


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(shorten(column, 40) for column in columns[:20]) + (" …" if len(columns) > 20 else "")


def likely_label(reading: Reading) -> str | None:
    """The column that surely holds the kinds of a table of texts, from its first rows; None where nothing is sure."""
    if reading.format in PLAIN or not isinstance(reading.shape, TextShape):
        return None
    found = itertools.islice(rows(next(files_of(reading))), SAMPLE_ROWS)
    return label(reading.columns, [row for row in found if isinstance(row, Row)], shapes.columns_of(reading.shape))
