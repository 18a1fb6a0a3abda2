"""Find names of persons; put placeholders in their place, remove them, or reject the row.

Reasons: `person_name`; the detail says how many names there were, and the excerpt of the row has placeholders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Literal, Protocol

import polars as pl

from pakar.prepare.frames import REJECTED, Sieved, nothing, reject
from pakar.prepare.operators import Rows, Tools
from pakar.prepare.personal import placeholders, rows
from pakar.prepare.personal.names import Mention, link
from pakar.prepare.personal.placeholders import Marked
from pakar.recipe.operators import PersonNames

NAME = "person-names"
REASON = "person_name"
KIND = "PERSON"


class Finder(Protocol):
    """What the operator asks of a recogniser, such as those of `pakar.prepare.names`."""

    def find(self, texts: Sequence[str]) -> Sequence[Sequence[tuple[int, int]]]:
        """Where names of persons start and end in each text, in characters."""


def replace_names(batch: pl.DataFrame, recogniser: Finder, treatment: Literal["replace", "remove", "reject"]) -> Sieved:
    """Rows without names of persons, or without the rows that name some.

    Args:
        batch: Rows with a column `messages`.
        recogniser: Finds the names.
        treatment: As in the recipe.
    """
    named = _named(batch, recogniser)
    write = remove if treatment == "remove" else _mask
    written = rows.with_texts(batch, {number: write(texts, mentions) for number, (texts, mentions) in named.items()})
    if treatment != "reject":
        return Sieved(written, nothing(REJECTED))
    numbers = sorted(named)
    count = [len({mention.person for row in named[number][1] for mention in row}) for number in numbers]
    details = pl.Series("detail", [f"{n} {'name' if n == 1 else 'names'}" for n in count], pl.String)
    rejected = reject(written[numbers].with_columns(details), REASON, NAME, pl.col("detail"))
    return Sieved(written.filter(~pl.int_range(pl.len()).is_in(numbers)), rejected)


Row = tuple[list[str], list[list[Mention]]]


def _named(batch: pl.DataFrame, recogniser: Finder) -> Mapping[int, Row]:
    """Texts and mentions of the rows that name somebody, by the row's number."""
    texts = rows.texts(batch)
    found = pl.Series("spans", _spans(recogniser, texts["content"]), pl.List(pl.List(pl.UInt32)))
    grouped = texts.with_columns(found).group_by("row", maintain_order=True).agg("content", "spans")
    naming = grouped.filter(pl.col("spans").list.eval(pl.element().list.len() > 0).list.any())
    return {number: (contents, link(contents, spans)) for number, contents, spans in naming.iter_rows()}


def _spans(recogniser: Finder, texts: pl.Series) -> list[list[list[int]]]:
    """Names by text, none of them in a placeholder; texts without letters are not looked at."""
    readable = texts.str.contains(r"\p{L}")
    found = iter(recogniser.find(texts.filter(readable).to_list()))
    return [
        [list(span) for span in placeholders.outside_placeholders(text, next(found))] if is_readable else []
        for text, is_readable in zip(texts, readable, strict=True)
    ]


def _mask(texts: list[str], mentions: list[list[Mention]]) -> list[str]:
    marked = [[Marked(one.start, one.end, KIND, one.person) for one in row] for row in mentions]
    return placeholders.replace(texts, marked, {})


_POSSESSIVE = re.compile(r"['\u2019]s\b")
_STARTS_SENTENCE = re.compile(r"(?:^|\n|[.!?][\"\u201d\u2019)]? )[\"\u201c\u2018(]?\Z")


def remove(texts: Iterable[str], mentions: Iterable[Sequence[Mention]]) -> list[str]:
    """Texts without the names, with spaces and commas tidied: `Dear Anna,` becomes `Dear,`."""
    removed = []
    for text, row in zip(texts, mentions, strict=True):
        rest = text
        for mention in reversed(row):
            rest = _join(rest[: mention.start], rest[mention.end :])
        removed.append(rest)
    return removed


def _join(before: str, after: str) -> str:
    """What stood around a name, as it would be written without the name."""
    possessive = _POSSESSIVE.match(after)
    after = after[possessive.end() :] if possessive else after
    if before.endswith("(") and after.startswith(")"):
        before, after = before[:-1], after[1:]
    if _STARTS_SENTENCE.search(before[-4:] if len(before) > 4 else before):
        return before + after.lstrip(" \t,:")
    if not after or after[0] in ".,;:!?)\n":
        before = before.rstrip(" \t")
        before = before.removesuffix(",") if not after or after[0] in ".,;:!?" else before
        return before + after
    return before + (after.lstrip(" \t") if before[-1:].isspace() else after)


def build(section: PersonNames, _: Tools) -> Rows:
    """For `pakar.prepare.operators.build`.

    Raises:
        DataError: the recogniser's model cannot be loaded.
    """
    from pakar.prepare import names  # noqa: PLC0415  # loads a recogniser's libraries, which the other operators do not need

    recogniser = names.bundled() if section.recogniser == "bundled" else names.from_model(section.recogniser)
    return Rows(partial(replace_names, recogniser=recogniser, treatment=section.treatment))
