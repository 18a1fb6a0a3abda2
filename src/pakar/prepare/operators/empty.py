"""Reject rows in which nothing is said: an empty question, an empty answer, an empty text."""

from __future__ import annotations

import polars as pl

from pakar.prepare.frames import Sieved, sieve

NAME = "empty"
_SAYS_SOMETHING = r"[\p{L}\p{N}\p{S}]"  # a letter, a digit or a sign; dashes and dots alone say nothing


def reject_empty(batch: pl.DataFrame) -> Sieved:
    """Rows that say something. Reasons: `empty_answer`, `empty_question`, `empty_text`."""
    said = pl.element().struct.field("content").str.contains(_SAYS_SOMETHING).fill_null(value=False)
    role = pl.element().struct.field("role")
    # An empty system message carries nothing: it is dropped and its row stays.
    batch = batch.with_columns(pl.col("messages").list.filter((role != "system") | said))
    rejected = []
    for reason, roles in (("empty_answer", "assistant"), ("empty_question", "user"), ("empty_text", "text")):
        silent = pl.col("messages").list.eval((role == roles) & ~said).list.any()
        kept, out = sieve(batch, ~silent, reason, NAME)
        rejected.append(out)
        batch = kept
    return Sieved(batch, pl.concat(rejected))
