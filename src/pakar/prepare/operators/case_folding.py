"""Write everything in small letters, by the rules of Unicode; nothing else changes."""

from __future__ import annotations

import polars as pl

from pakar.prepare.operators import Texts, Tools
from pakar.recipe.operators import CaseFolding


def fold_case(texts: pl.Series) -> pl.Series:
    """Texts in small letters (`str.lower`, so `ß` stays: this is for reading, not for comparing)."""
    return texts.str.to_lowercase()


def build(_: CaseFolding, __: Tools) -> Texts:
    """For `pakar.prepare.operators.build`."""
    return Texts(fold_case)
