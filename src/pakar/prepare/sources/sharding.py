"""A source in pieces that several processes can read, each for itself, with the offsets of the whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

import polars as pl
import pyarrow as pa

from pakar.prepare.frames import REJECTED, Sieved, nothing
from pakar.prepare.sources import bulk, columnar, hub, json_files, parts, threads, vectors
from pakar.prepare.sources.characters import UTF8
from pakar.prepare.sources.opening import is_compressed
from pakar.prepare.sources.reading import Reading, document, file_of, files_of, outcomes, outcomes_of, rows
from pakar.prepare.sources.rows import BATCH_CHARACTERS, BATCH_ROWS, Broken, Row, batches
from pakar.recipe import PairsShape, TextShape, TurnsShape

SHARD_ROWS = 50_000
SHARD_BYTES = 64_000_000
ROWS_AT_ONCE = 2_000
"""Of Parquet. A page may hold one long text for many rows, which unfolds when it is read."""


class Shard(NamedTuple):
    """A piece of a source. Plain values: it can be pickled and written as JSON (`Shard(*values)` reads it back)."""

    source: int
    """Number of the source in the recipe, from 0."""
    path: str
    """The file."""
    first: int = 1
    """Offset of the first record."""
    rows: int | None = None
    """Records (of JSON Lines: lines). None: the whole file."""
    start: int = 0
    """Of JSON Lines, the byte at which the first line begins."""


def read_all(reading: Reading) -> Iterator[Sieved]:
    """All records of a source in order, in batches of at most about 10,000 rows or 16 million characters.

    Raises:
        DataError: while iterating, if a file breaks off in the middle or has other columns than the first.
    """
    if _spans_files(reading):
        return batches(threads.records(_all_rows(reading), cast("TurnsShape", reading.shape), reading.label), "")
    return _joined(batch for file in files_of(reading) for batch in _read_file(file))


def _spans_files(reading: Reading) -> bool:
    """The messages of a conversation may lie in several files."""
    return isinstance(reading.shape, TurnsShape) and reading.format != "chat"


def _all_rows(reading: Reading) -> Iterator[Row | Broken]:
    for file in files_of(reading):
        for row in rows(file, file.wanted):
            yield row._replace(source=row.source or file.name)


def shards(reading: Reading, source: int = 0) -> list[Shard] | None:
    """How the source can be parted; in this order the shards hold the same records as `read_all`.

    Parquet is parted between row groups and JSON Lines (UTF-8, not compressed) between lines, both about every 50,000
    rows or 64 MB; of other formats every file of several is a shard, and so is every document.

    Args:
        reading: The source.
        source: Its number in the recipe.

    Returns:
        None: it must be read in one go.

    Raises:
        DataError: a file has other columns than the first, or is damaged; the error names it.
    """
    if reading.format == "hub" or _spans_files(reading):
        return None
    if reading.format == "folder":
        documents = parts.find(reading.source.path, "folder")
        return [Shard(source, str(path)) for path in documents.files] if documents else None
    found = [shard for file in files_of(reading) for shard in _shards_of_file(file, source)]
    alone = reading.root is None and len(found) == 1 and found[0].rows is None
    return None if alone else found


def read_shard(reading: Reading, shard: Shard) -> Iterator[Sieved]:
    """The records of one shard, in batches as those of `read_all`."""
    path = Path(shard.path)
    if reading.format == "folder":
        return batches(outcomes_of(document(reading, path), reading), reading.name)
    if shard.rows is None:
        return _read_file(file_of(reading, path))
    if reading.root is not None:
        reading = replace(reading, path=path, part=path.relative_to(reading.root).as_posix())
    if reading.format == "parquet":
        return _read_parquet(reading, columnar.groups_between(path, shard.first, shard.rows), shard.first)
    found = json_files.read_piece(path, json_files.Piece(shard.first, shard.rows, shard.start))
    return bulk.sieved(found, reading)


def _read_file(file: Reading) -> Iterator[Sieved]:
    if isinstance(file.shape, TurnsShape):
        return batches(threads.records(rows(file, file.wanted), file.shape, file.label), file.name)
    if file.format == "parquet":
        return _read_parquet(file, None, 1)
    if file.format == "hub":
        return _read_tables(hub.tables(file.source), file)
    if file.format in {"csv", "tsv", "json", "jsonl"}:
        return bulk.sieved(rows(file), file)
    return batches(outcomes(file), file.name)


def _read_parquet(file: Reading, groups: range | None, first: int) -> Iterator[Sieved]:
    """Columns of text at once, everything else row by row."""
    if not vectors.fits(columnar.open_parquet(file.path).schema_arrow, file.shape, file.label):
        found = columnar.read_parquet(file.path, file.wanted, groups=groups, first=first)
        return batches(outcomes_of(found, file), file.name)
    pieces = columnar.record_batches(file.path, file.wanted, groups=groups, first=first, most_rows=ROWS_AT_ONCE)
    return _read_tables(vectors.gathered(pieces), file, first)


def _read_tables(tables: Iterable[pa.Table], file: Reading, first: int = 1) -> Iterator[Sieved]:
    for table in tables:
        yield from _sieved(table, file, first)
        first += len(table)


def _sieved(table: pa.Table, file: Reading, first: int) -> Iterable[Sieved]:
    shape = file.shape
    if isinstance(shape, PairsShape | TextShape) and vectors.fits(table.schema, shape, file.label) and _is_valid(table):
        offsets = pl.int_range(first, first + len(table), dtype=pl.UInt64, eager=True)
        labels = vectors.labels(table, file.label)
        kept = vectors.records(table, shape, source=file.name, offsets=offsets, labels=labels)
        return [Sieved(kept, nothing(REJECTED))]
    found = (Row(first + place, values) for place, values in enumerate(columnar.as_rows(table)))
    return batches(outcomes_of(found, file), file.name)


def _is_valid(table: pa.Table) -> bool:
    """False where bytes in columns of text are not UTF-8."""
    try:
        table.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _shards_of_file(file: Reading, source: int) -> list[Shard]:
    path = str(file.path)
    if not is_compressed(file.path):
        if file.format == "parquet":
            spans = columnar.spans(file.path, most_rows=SHARD_ROWS, most_bytes=SHARD_BYTES)
            return [Shard(source, path, first, rows) for first, rows in spans]
        if file.format == "jsonl" and file.encoding == UTF8:
            pieces = json_files.pieces(file.path, most_lines=SHARD_ROWS, most_bytes=SHARD_BYTES)
            return [Shard(source, path, *piece) for piece in pieces]
    return [Shard(source, path)]


def _joined(found: Iterable[Sieved]) -> Iterator[Sieved]:
    """Small batches, as many small files make them, one with the next."""
    waiting: list[Sieved] = []
    height = size = 0
    for batch in found:
        more = len(batch.kept) + len(batch.rejected)
        bytes_more = int(batch.kept.estimated_size())
        if waiting and (height + more > BATCH_ROWS or size + bytes_more > BATCH_CHARACTERS):
            yield _concatenated(waiting)
            waiting, height, size = [], 0, 0
        waiting.append(batch)
        height, size = height + more, size + bytes_more
    if waiting:
        yield _concatenated(waiting)


def _concatenated(found: list[Sieved]) -> Sieved:
    if len(found) == 1:
        return found[0]
    return Sieved(pl.concat([one.kept for one in found]), pl.concat([one.rejected for one in found]))
