"""Operators: each file holds one, a pure function that can be used alone. To add a cleaner, write its file and list it here.

A cleaner maps a column of texts to a column of texts of the same length. A filter takes a batch and returns a `Sieved`:
the rows kept, and the rows rejected with a reason.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from pakar.prepare.operators.control_characters import remove_control_characters
from pakar.prepare.operators.encoding import repair_encoding
from pakar.prepare.operators.html import html_to_text
from pakar.prepare.operators.white_space import tidy_white_space
from pakar.recipe import Cleaner

TextOperator = Callable[[pl.Series], pl.Series]

CLEANERS: dict[Cleaner, TextOperator] = {
    "encoding": repair_encoding,
    "html": html_to_text,
    "control-characters": remove_control_characters,
    "white-space": tidy_white_space,
}
"""Name in the recipe → cleaner."""


def clean_messages(batch: pl.DataFrame, operator: TextOperator) -> tuple[pl.DataFrame, pl.Series]:
    """Apply a cleaner to every message; returns the batch and, row by row, whether something changed."""
    if batch.is_empty():
        return batch, pl.Series("changed", [], pl.Boolean)
    flat = batch.select(pl.int_range(pl.len()).alias("index"), "messages").explode("messages").unnest("messages")
    flat = flat.with_columns(operator(flat["content"]).alias("cleaned"))
    rows = flat.group_by("index", maintain_order=True).agg(
        pl.struct("role", pl.col("cleaned").alias("content")).alias("messages"),
        (pl.col("cleaned") != pl.col("content")).any().alias("changed"),
    )
    return batch.with_columns(rows["messages"]), rows["changed"]


def map_where(texts: pl.Series, pattern: str, function: Callable[[str], str]) -> pl.Series:
    """Apply a Python function to the texts that match `pattern`; the others pass at the speed of the expression engine."""
    touched = texts.str.contains(pattern)
    if not touched.any():
        return texts
    mapped = iter([function(text) for text in texts.filter(touched)])
    return pl.Series(
        texts.name, [next(mapped) if hit else text for text, hit in zip(texts, touched, strict=True)], pl.String
    )
