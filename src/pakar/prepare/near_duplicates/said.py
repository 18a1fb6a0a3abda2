"""What is compared of a row: what its messages say, without system messages, which are often the same in all rows."""

from __future__ import annotations

import polars as pl


def said(*roles: str) -> pl.Expr:
    """What the messages of `roles` say, as one text."""
    role, words = pl.element().struct.field("role"), pl.element().struct.field("content")
    return pl.col("messages").list.eval(words.filter(role.is_in(roles))).list.join("\n", ignore_nulls=True)
