"""Batches of conversations for tests of operators."""

from __future__ import annotations

import polars as pl

from pakar.prepare.frames import RECORDS


def batch(*conversations: list[str]) -> pl.DataFrame:
    """One row per conversation; user and assistant speak in turn."""
    rows = [
        {"source": "s", "offset": n + 1, "part": 0, "group": None, "label": None}
        | {
            "messages": [
                {"role": ("user", "assistant")[k % 2], "content": content} for k, content in enumerate(contents)
            ]
        }
        for n, contents in enumerate(conversations)
    ]
    return pl.DataFrame(rows, schema=RECORDS)


def contents(rows: pl.DataFrame) -> list[list[str]]:
    """All messages' contents, row by row."""
    return [[message["content"] for message in messages] for messages in rows["messages"].to_list()]
