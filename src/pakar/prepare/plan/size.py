"""How many rows does a source hold? Counted where that is quick, else told from the size of its files and of its first rows."""

from __future__ import annotations

import csv
import io
import itertools
import json
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from pakar.prepare import sources
from pakar.prepare.sources import Reading
from pakar.prepare.sources.columnar import open_parquet
from pakar.prepare.sources.opening import is_compressed
from pakar.prepare.sources.reading import files_of, rows
from pakar.prepare.sources.rows import Row

SMALL_BYTES = 16_000_000
"""Files of so few bytes are read to their end, and so counted."""
SAMPLE_ROWS = 2_000


class Size(NamedTuple):
    """Rows of a source.

    Attributes:
        rows: How many.
        exact: Whether they were counted.
    """

    rows: int
    exact: bool


def size(reading: Reading, looked: int, *, ended: bool) -> Size:
    """Rows of a source.

    Args:
        reading: The source.
        looked: Rows that were read.
        ended: Whether there were no more.
    """
    if ended:
        return Size(looked, exact=True)
    if reading.format in {"folder", "excel", "hub"} or _bytes(reading) <= SMALL_BYTES:
        return Size(sum(len(batch.kept) + len(batch.rejected) for batch in sources.read_all(reading)), exact=True)
    if reading.format == "parquet":
        return Size(sum(int(open_parquet(file.path).metadata.num_rows) for file in files_of(reading)), exact=True)
    first = next(files_of(reading))
    return Size(max(looked, round(_bytes(reading) / _bytes_a_row(first))), exact=False)


def _bytes(reading: Reading) -> int:
    return sum(Path(file.path).stat().st_size for file in files_of(reading))


def _bytes_a_row(file: Reading) -> float:
    """Bytes that the first rows take when they are written again, packed if the file is."""
    sample = [row.values for row in itertools.islice(rows(file), SAMPLE_ROWS) if isinstance(row, Row)]
    written = (_as_table(sample) if file.dialect is not None else _as_lines(sample)).encode(
        file.encoding or "utf-8", "replace"
    )
    packed = len(zlib.compress(written)) if is_compressed(file.path) else len(written)
    return max(packed / max(len(sample), 1), 1.0)


def _as_table(sample: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerows(row.values() for row in sample)
    return out.getvalue()


def _as_lines(sample: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in sample)
