"""Find personal data by pattern and checksum, and put placeholders in its place or reject the row.

Reasons: `personal_data`; the detail names the types found, never a value, and the excerpt of the row has placeholders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple

import polars as pl

from pakar.prepare.frames import REJECTED, Sieved, nothing, reject
from pakar.prepare.operators import Rows, Tools
from pakar.prepare.personal import placeholders, rows
from pakar.prepare.personal.detectors import detectors
from pakar.prepare.personal.found import Detector, Found, find_all
from pakar.prepare.personal.placeholders import Marked
from pakar.recipe.operators import PersonalData, PersonalType

NAME = "personal-data"
REASON = "personal_data"


def hide_personal_data(
    batch: pl.DataFrame, found_by: Sequence[Detector], treatment: Literal["replace", "reject"]
) -> Sieved:
    """Rows without personal data: with placeholders in its place, or without the rows that held some.

    Args:
        batch: Rows with a column `messages`.
        found_by: See `pakar.prepare.personal.detectors`.
        treatment: As in the recipe.
    """
    hidden = {number: _hide(suspect, found_by) for number, suspect in _suspects(batch, found_by).items()}
    changed = {number: row for number, row in hidden.items() if row.types}
    masked = rows.with_texts(batch, {number: row.texts for number, row in changed.items()})
    if treatment == "replace":
        return Sieved(masked, nothing(REJECTED))
    return _without(masked, changed)


class _Suspect(NamedTuple):
    texts: list[str]
    detectors: list[Detector]  # those whose candidates are in some text


def _suspects(batch: pl.DataFrame, found_by: Sequence[Detector]) -> Mapping[int, _Suspect]:
    """The rows in which some text may hold something, by their number."""
    columns = [f"candidates {n}" for n in range(len(found_by))]
    texts = rows.texts(batch).with_columns(
        pl.col("content").str.contains(detector.candidates).alias(column)
        for column, detector in zip(columns, found_by, strict=True)
    )
    suspected = texts.filter(pl.any_horizontal(*columns, pl.lit(value=False)))["row"].unique()
    grouped = texts.filter(pl.col("row").is_in(suspected.implode())).group_by("row")
    return {
        row: _Suspect(contents, [detector for detector, flag in zip(found_by, flags, strict=True) if flag])
        for row, contents, *flags in grouped.agg("content", pl.col(*columns).any() if columns else []).iter_rows()
    }


class _Hidden(NamedTuple):
    texts: list[str]
    types: frozenset[PersonalType]


def _hide(suspect: _Suspect, found_by: Sequence[Detector]) -> _Hidden:
    """A row's texts with placeholders. Repeated until nothing is found, for what a longer find covered in part may show up then."""
    known: dict[tuple[str, str], str] = {}
    types: set[PersonalType] = set()
    texts, asked = suspect.texts, suspect.detectors
    while any(found := [_find(text, asked) for text in texts]):
        types.update(one.type for row in found for one in row)
        marked = [[_marked(text, one) for one in row] for text, row in zip(texts, found, strict=True)]
        texts, asked = placeholders.replace(texts, marked, known), list(found_by)
    return _Hidden(texts, frozenset(types))


def _find(text: str, found_by: Sequence[Detector]) -> list[Found]:
    found = find_all(text, found_by)
    if not found:
        return []
    outside = placeholders.outside_placeholders(text, [(one.start, one.end) for one in found])
    return [one for one in found if (one.start, one.end) in outside]


def _marked(text: str, found: Found) -> Marked:
    identity = placeholders.identity(found.type, text[found.start : found.end])
    return Marked(found.start, found.end, placeholders.word(found.type), identity)


def _without(batch: pl.DataFrame, held: Mapping[int, _Hidden]) -> Sieved:
    """The rows that held nothing; the others rejected with the types of what they held."""
    numbers = sorted(held)
    details = pl.Series("detail", [", ".join(sorted(held[number].types)) for number in numbers], pl.String)
    rejected = reject(batch[numbers].with_columns(details), REASON, NAME, pl.col("detail"))
    return Sieved(batch.filter(~pl.int_range(pl.len()).is_in(numbers)), rejected)


def build(section: PersonalData, _: Tools) -> Rows:
    """For `pakar.prepare.operators.build`.

    Raises:
        RecipeError: a region is unknown.
    """
    found_by = detectors(section.types, section.regions)
    return Rows(partial(hide_personal_data, found_by=found_by, treatment=section.treatment))
