from __future__ import annotations

from pathlib import Path

import zstandard

from pakar.prepare.sources import read as read_source
from pakar.recipe import AnyShape, Source
from tests.prepare.sources.helpers import json_lines

ROWS = (
    {"from": "books", "text": "It was a dark night."},
    {"from": "talks", "messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}]},
    {"from": "books", "messages": None, "text": "The end."},
    {"from": "talks", "messages": [], "text": ""},
    {"from": "nowhere"},
)


def test_each_row_is_read_by_the_first_shape_that_it_fills_and_none_is_lost(tmp_path: Path) -> None:
    for name, rows in (("a", ROWS[:2]), ("b", ROWS[2:])):
        (tmp_path / f"{name}.jsonl.zst").write_bytes(zstandard.compress(json_lines(*rows).encode()))
    source = Source(path=str(tmp_path / "*.jsonl.zst"), shape=AnyShape(), label="from")
    found = [*read_source(source)]
    kept = [row for batch in found for row in batch.kept.iter_rows(named=True)]
    assert [(row["label"], row["messages"][-1]["role"]) for row in kept] == [
        ("books", "text"),
        ("talks", "assistant"),
        ("books", "text"),
    ]
    rejected = [row for batch in found for row in batch.rejected.iter_rows(named=True)]
    assert len(rejected) == 2
    assert rejected[1]["reason"] == "missing_columns"
    assert rejected[1]["detail"] == "the record has none of messages, text filled; it has from"
