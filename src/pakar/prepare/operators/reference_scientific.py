r"""The cleaning of a published system for scientific papers, step by step as its Spark SQL functions do it.

1. `lower(text)`
2. `regexp_replace(text, 'xcite', '')`
3. `regexp_replace(text, '@xcite', '')`
4. `regexp_replace(text, 'xmath[0-9]+', '')`
5. `regexp_replace(text, '\n', '')`
6. `regexp_replace(text, '[^a-zA-Z0-9\s]', '')`, where `\s` is Java's: space, tab and line ends of ASCII

It harms the text, and is kept for comparison only: words fuse (`birads.results` becomes `biradsresults`, and so do two lines
without a space between them), numbers change (`p = 0.021` becomes `p  0021`), letters outside ASCII vanish, and step 2 bites
into words (`excited` becomes `ed`). `scientific-marks` is the cleaning to use.
"""

from __future__ import annotations

import polars as pl

from pakar.prepare.operators import Texts, Tools
from pakar.recipe.operators import ReferenceScientific

_DELETED = r"[^a-z0-9 \t\x0B\x0C\r]+"  # steps 5 and 6 in one pass; after step 1 there are no capitals


def clean_as_reference(texts: pl.Series) -> pl.Series:
    """Cleaned texts."""
    cleaned = (
        pl.col("text").str.to_lowercase()
        .str.replace_all("xcite", "", literal=True)
        .str.replace_all("@xcite", "", literal=True)  # only what step 2 put together: `@xcxciteite`
        .str.replace_all("xmath[0-9]+", "")
        .str.replace_all(_DELETED, "")
    )  # fmt: skip
    return texts.to_frame("text").select(cleaned.alias(texts.name)).to_series()


def build(_: ReferenceScientific, __: Tools) -> Texts:
    """For `pakar.prepare.operators.build`."""
    return Texts(clean_as_reference)
