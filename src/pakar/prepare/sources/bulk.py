"""Rows of CSV and JSON → batches of records, many at once where their cells are plain text, else row by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl
import pyarrow as pa

from pakar.prepare.frames import Sieved
from pakar.prepare.sources import shapes, vectors
from pakar.prepare.sources.reading import Reading, outcomes_of
from pakar.prepare.sources.rows import BATCH_CHARACTERS, BATCH_ROWS, Broken, Row, batches, rejected_table, telling_where
from pakar.prepare.sources.values import label_of
from pakar.recipe import PairsShape, TextShape


def sieved(found: Iterable[Row | Broken], reading: Reading) -> Iterator[Sieved]:
    """The records of `found`, in batches of at most about 10,000 rows or 16 million characters."""
    shape = reading.shape
    if not isinstance(shape, PairsShape | TextShape):
        yield from batches(outcomes_of(found, reading), reading.name)
        return
    columns = tuple(dict.fromkeys(shapes.columns_of(shape)))
    for rows, broken in _gathered(found, columns):
        table = _table(rows, columns)
        if table is None:
            yield from batches(outcomes_of([*rows, *broken], reading), reading.name)
        else:
            label = [label_of(row.values.get(reading.label)) for row in rows] if reading.label else None
            kept = vectors.records(
                table,
                shape,
                source=reading.name,
                offsets=pl.Series([row.offset for row in rows], dtype=pl.UInt64),
                labels=pl.Series(label, dtype=pl.String) if label else None,
            )
            yield Sieved(kept, rejected_table(broken, reading.name))


def _gathered(found: Iterable[Row | Broken], columns: tuple[str, ...]) -> Iterator[tuple[list[Row], list[Broken]]]:
    rows: list[Row] = []
    broken: list[Broken] = []
    characters = 0
    for one in telling_where(found):
        if isinstance(one, Broken):
            broken.append(one.shortened())
        else:
            rows.append(one)
            for column in columns:
                cell = one.values.get(column)
                characters += len(cell) if isinstance(cell, str) else 0
        if len(rows) + len(broken) >= BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield rows, broken
            rows, broken, characters = [], [], 0
    if rows or broken:
        yield rows, broken


def _table(rows: list[Row], columns: tuple[str, ...]) -> pa.Table | None:
    """The cells of `columns`; None if some are no text, or a row has not one of the columns."""
    if any(row.values.keys().isdisjoint(columns) for row in rows):
        return None
    cells = [[row.values.get(column) for row in rows] for column in columns]
    try:
        return pa.table([pa.array(column, pa.large_string()) for column in cells], list(columns))
    except (pa.ArrowTypeError, pa.ArrowInvalid, UnicodeEncodeError):
        return None
