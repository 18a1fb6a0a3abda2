"""Columns of text → batches of records at once, with no Python per row. The outcome equals that of `shapes`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from pakar.prepare.frames import RECORDS
from pakar.prepare.sources.rows import BATCH_CHARACTERS, BATCH_ROWS
from pakar.recipe import PairsShape, Shape, TextShape

ROLES = ("system", "user", "assistant", "text")
# Four control characters count as white space in Python and not in Rust.
SPOKEN = r"[^\s\x1c-\x1f]"
BLANK = r"\A(?:<[^>]{0,500}>|&nbsp;|[\s\x1c-\x1f])*\z"
LONGEST_BLANK = 2_000


class Said(NamedTuple):
    """One message of every record in a batch."""

    role: str
    content: pl.Series
    present: pl.Series | None = None
    """Records that have it; None: all."""


def text_columns(shape: Shape) -> tuple[str, ...] | None:
    """Columns that must hold plain text for the fast way; None: the shape has none."""
    match shape:
        case PairsShape():
            names = (shape.question, shape.answer, shape.context, shape.fallback, shape.system)
            return tuple(name for name in names if name is not None)
        case TextShape():
            return (shape.column,)
        case _:
            return None


def fits(schema: pa.Schema, shape: Shape, label: str | None) -> bool:
    """Whether all columns that `shape` names are plain text, so that `records` may be used."""
    names = text_columns(shape)
    if names is None or any(schema.names.count(name) != 1 for name in (*names, *([label] if label else []))):
        return False
    return all(_is_text(schema.field(name).type) for name in names) and (
        label is None or _is_plain(schema.field(label).type)
    )


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_plain(kind: pa.DataType) -> bool:
    """Types whose values are written as text in the same way everywhere."""
    return _is_text(kind) or bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The same rows in tables of at most 10,000 rows and, where a row is not larger, 16 MB."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        for piece in _pieces(batch):
            if waiting and (rows + len(piece) > BATCH_ROWS or size + piece.nbytes > BATCH_CHARACTERS):
                yield pa.Table.from_batches(waiting)
                waiting, rows, size = [], 0, 0
            waiting.append(piece)
            rows, size = rows + len(piece), size + piece.nbytes
    if waiting:
        yield pa.Table.from_batches(waiting)


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Halves of halves until each is small enough."""
    if len(batch) > 1 and (len(batch) > BATCH_ROWS or batch.nbytes > BATCH_CHARACTERS):
        half = len(batch) // 2
        yield from _pieces(batch.slice(0, half))
        yield from _pieces(batch.slice(half))
    elif len(batch):
        yield batch


def records(
    table: pa.Table,
    shape: PairsShape | TextShape,
    *,
    source: str,
    offsets: pl.Series,
    labels: pl.Series | None = None,
) -> pl.DataFrame:
    """A record for every row; of columns of text none can be rejected.

    Args:
        table: Rows whose columns of text `shape` names; nulls are empty texts.
        shape: Which columns are used.
        source: What stands in the `source` column.
        offsets: Of every row.
        labels: Of every row, if there are any.
    """
    names = list(dict.fromkeys(text_columns(shape) or ()))
    frame = pl.DataFrame(pl.from_arrow(table.select(names))).with_columns(pl.all().cast(pl.String).fill_null(""))
    said = _pair(frame, shape) if isinstance(shape, PairsShape) else [Said("text", frame[shape.column])]
    kept = pl.DataFrame({"messages": conversations(said), "offset": offsets}).select(
        pl.lit(source).alias("source"),
        "offset",
        pl.lit(0, pl.UInt32).alias("part"),
        pl.lit(None, pl.String).alias("group"),
        pl.lit(None, pl.String).alias("label") if labels is None else labels.alias("label"),
        "messages",
    )
    return kept.cast(RECORDS)


def labels(table: pa.Table, column: str | None) -> pl.Series | None:
    """A column as the kinds of rows: text or null."""
    if column is None:
        return None
    kinds = pl.DataFrame(pl.from_arrow(table.select([column]))).to_series().cast(pl.String)
    return kinds.to_frame("kind").select(pl.when(pl.col("kind") != "").then("kind")).to_series()


def _pair(frame: pl.DataFrame, shape: PairsShape) -> list[Said]:
    question = pl.col(shape.question)
    if shape.fallback:
        question = pl.when(_is_blank(question)).then(pl.col(shape.fallback)).otherwise(question)
    if shape.context:
        context = pl.col(shape.context)
        question = pl.when(_is_blank(context)).then(question).otherwise(question + "\n\n" + context)
    said = [
        Said("user", frame.select(question.alias("question")).to_series()),
        Said("assistant", frame[shape.answer]),
    ]
    if shape.system is None:
        return said
    system = frame[shape.system]
    return [Said("system", system, system.str.contains(SPOKEN)), *said]


def _is_blank(text: pl.Expr) -> pl.Expr:
    return (text.str.len_chars() < LONGEST_BLANK) & text.str.contains(BLANK)


def conversations(said: list[Said]) -> pl.Series:
    """Messages of every record one after the other, as a column of lists.

    Built from flat Arrow columns: ten times faster than Polars' `concat_list` of structs.
    """
    height, width = len(said[0].content), len(said)
    present = np.ones((height, width), dtype=bool)
    for position, one in enumerate(said):
        if one.present is not None:
            present[:, position] = one.present.to_numpy()
    places = np.arange(height * width).reshape(width, height).T[present]
    ends = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    content = pl.concat([one.content.rename("") for one in said]).gather(places)
    roles = pl.Series([one.role for one in said]).gather(places // max(height, 1))
    newest = pl.CompatLevel.newest()
    pairs = pa.StructArray.from_arrays(
        [roles.to_arrow(compat_level=newest), content.to_arrow(compat_level=newest), pa.repeat(True, len(content))],
        ["role", "content", "learn"],
    )
    return pl.Series("messages", pl.from_arrow(pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), pairs)))
