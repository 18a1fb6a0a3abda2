"""Operators: what is done to every row. Each file holds one, pure functions that can be used alone.

To add one, write its section in `pakar.recipe.operators` and a module here of the same name (`white-space` is
`white_space.py`) with a function `build(section, tools)`. It returns a `Texts` (a column of texts to a column of texts of the same
length) or a `Rows` (a batch to a `Sieved`: the rows kept, and the rows rejected with a reason word).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import polars as pl

from pakar.prepare.frames import Sieved
from pakar.recipe import Operator

if TYPE_CHECKING:
    from pakar.models.prompt import Renderer  # loads transformers, which operators on texts can do without

TOUCHED = "touched"
"""Boolean column that a `Rows` operator may add to the kept rows: whether it changed something in them."""


class Texts(NamedTuple):
    """An operator on texts; it sees every message's content."""

    function: Callable[[pl.Series], pl.Series]


class Rows(NamedTuple):
    """An operator on rows with the columns of `frames.RECORDS` and `flags` (words a row is marked with; append to it).

    It may reject rows, change them (then it adds TOUCHED), mark them, or make several rows of one (then it numbers `part`).
    """

    function: Callable[[pl.DataFrame], Sieved]


class Tools(NamedTuple):
    """What operators may need beside their section.

    Attributes:
        renderer: Counts tokens as the base model does.
        seed: Of the recipe, for what is drawn at random.
    """

    renderer: Renderer
    seed: int = 0


class Step(NamedTuple):
    """An operator ready to run, under the name it has in the ledger."""

    name: str
    operator: Texts | Rows


def build(sections: Sequence[Operator], tools: Tools) -> list[Step]:
    """The operators of a recipe, in its order; what they load (models, benchmark files) is loaded here, once.

    Raises:
        DataError: something that an operator needs cannot be loaded.
    """
    return [Step(section.kind, _module_build(section.kind)(section, tools)) for section in sections]


def _module_build(kind: str) -> Callable[[Operator, Tools], Texts | Rows]:
    module = importlib.import_module(f"{__name__}.{kind.replace('-', '_')}")
    return cast("Callable[[Operator, Tools], Texts | Rows]", module.build)


def map_where(texts: pl.Series, pattern: str, function: Callable[[str], str]) -> pl.Series:
    """Apply a Python function to the texts that match `pattern`; the others pass at the speed of the expression engine."""
    touched = texts.str.contains(pattern)
    if not touched.any():
        return texts
    mapped = iter([function(text) for text in texts.filter(touched)])
    return pl.Series(
        texts.name, [next(mapped) if hit else text for text, hit in zip(texts, touched, strict=True)], pl.String
    )
