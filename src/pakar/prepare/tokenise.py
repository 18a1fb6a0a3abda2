"""Write the rows of a split as token shards. Conversations are one sequence each; plain text is cut into windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

from pakar import files, shards

ROWS_PER_SHARD = 50_000


def write_shards(directory: Path, frames: Iterable[pl.DataFrame], context_tokens: int) -> None:
    """Write `frames` (columns id, input_ids, loss_mask) as shards."""
    files.remove(directory)
    directory.mkdir(parents=True)
    for number, frame in enumerate(_slices(frames)):
        shards.write(directory / shards.SHARD_NAME.format(number), _sequences(frame, context_tokens))


def _slices(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    for frame in frames:
        yield from frame.iter_slices(ROWS_PER_SHARD)


def _sequences(frame: pl.DataFrame, context_tokens: int) -> Iterator[tuple[str, list[int], list[int]]]:
    for identity, ids, mask in frame.select("id", "input_ids", "loss_mask").iter_rows():
        for start in range(0, len(ids), context_tokens):
            window = mask[start : start + context_tokens]
            if any(window[1:]):  # the first token of a window is never predicted, so a lone one teaches nothing
                yield identity, ids[start : start + context_tokens], window
