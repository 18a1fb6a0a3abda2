"""Token shards: uncompressed Arrow files that the trainer maps into memory. Prepare writes them, training reads them.

One row is one training sequence: token ids and a loss mask of equal length. Nothing is padded, so nothing depends on
what a tokenizer calls its pad token.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from pakar import files

SCHEMA = pa.schema(
    [("example", pa.string()), ("input_ids", pa.large_list(pa.int32())), ("loss_mask", pa.large_list(pa.uint8()))]
)
SHARD_NAME = "part-{:05d}.arrow"


class Sequence(NamedTuple):
    """One training sequence; both arrays have the same length."""

    example: str
    input_ids: npt.NDArray[np.int32]
    loss_mask: npt.NDArray[np.uint8]


def write(path: Path, rows: Iterable[tuple[str, list[int], list[int]]]) -> None:
    """Write rows of (example id, token ids, loss mask) to one shard, atomically."""
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    write_table(path, pa.table([pa.array(c, t.type) for c, t in zip(columns, SCHEMA, strict=True)], schema=SCHEMA))


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table with the columns of SCHEMA to one shard, atomically; the same rows make the same bytes."""
    whole = table.cast(SCHEMA).combine_chunks()
    with (
        files.replacing(path) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, SCHEMA) as out,
    ):
        out.write_table(whole, max_chunksize=4096)


class TokenShards:
    """Random access to the sequences of a directory of shards, without loading them."""

    def __init__(self, directory: Path) -> None:
        paths = sorted(directory.glob("*.arrow"))
        tables = [pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in paths]
        self._table = pa.concat_tables(tables) if tables else SCHEMA.empty_table()

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, index: int) -> Sequence:
        example, ids, mask = (column.slice(index, 1).combine_chunks()[0] for column in self._table.itercolumns())
        return Sequence(example.as_py(), ids.values.to_numpy(), mask.values.to_numpy())

    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens in each sequence."""
        lengths = pa.compute.list_value_length(self._table["input_ids"])
        return np.asarray(lengths.to_numpy(), dtype=np.int64)

    def supervised(self) -> npt.NDArray[np.int64]:
        """Tokens in each sequence that carry loss; never the first, which nothing comes before."""
        return np.concatenate(
            [_supervised(chunk) for chunk in self._table["loss_mask"].chunks] or [np.zeros(0, np.int64)]
        )


def _supervised(masks: pa.LargeListArray) -> npt.NDArray[np.int64]:
    offsets = masks.offsets.to_numpy()
    values = masks.values.to_numpy()[offsets[0] : offsets[-1]]
    before = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    starts, ends = offsets[:-1] - offsets[0], offsets[1:] - offsets[0]
    first = np.append(values, 0)[starts] * (ends > starts)
    return np.asarray(before[ends] - before[starts] - first, dtype=np.int64)
