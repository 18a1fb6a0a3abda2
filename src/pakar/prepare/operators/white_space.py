"""Tidy white space: one kind of space, one kind of line end, no runs, at most one empty line between paragraphs."""

from __future__ import annotations

import polars as pl

from pakar.prepare.operators import Texts, Tools
from pakar.recipe.operators import WhiteSpace

_SPACES = "[\\t\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{202F}\\x{205F}\\x{3000}]"
_FENCE = "```"  # the white space of fenced program code means something


def tidy_white_space(texts: pl.Series) -> pl.Series:
    """Tidied texts. A text with fenced code keeps its indentation and only loses space at line ends."""
    lines = pl.col("text").str.replace_all("\r\n?", "\n")
    plain = lines.str.replace_all(_SPACES, " ").str.replace_all(" {2,}", " ").str.replace_all("\n ", "\n")
    chosen = pl.when(lines.str.contains(_FENCE, literal=True)).then(lines).otherwise(plain)
    tidy = chosen.str.replace_all("[ \\t]+\n", "\n").str.replace_all("\n{3,}", "\n\n").str.strip_chars()
    return texts.to_frame("text").select(tidy.alias(texts.name)).to_series()


def build(_: WhiteSpace, __: Tools) -> Texts:
    """For `pakar.prepare.operators.build`."""
    return Texts(tidy_white_space)
