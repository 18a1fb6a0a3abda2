"""A few texts before and after each operator, for people to look at: those with the smallest places, whoever finds them.

What operators take out because it tells who somebody is stands here as blocks, so that the excerpts can be kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from pakar.prepare import trace
from pakar.prepare.frames import RECORDS
from pakar.prepare.kernel import CHANGED, FLAGS
from pakar.prepare.operators import Step
from pakar.prepare.trace import Way
from pakar.report import diff

EXAMPLES = 5
"""Of each operator."""
CHARACTERS = 600
"""Most of a text that is kept."""
HIDING = ("personal-data", "person-names")
"""Operators whose removed words are not shown."""
SHORT = 3
"""Words of fewer letters are hidden only where an operator removed them."""

_AROUND = ".,;:!?()[]{}<>\"'\u201c\u201d\u2018\u2019"

Excerpts = dict[str, list[dict[str, Any]]]
"""Operator → `place`, `source`, `offset`, `before`, `after`."""


class Collector:
    """Looks at batches as they pass and remembers the few raw records that will be shown."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._found = pl.DataFrame(schema={"bit": pl.UInt8, "place": pl.UInt64, **RECORDS})

    def add(self, raw: pl.DataFrame, kept: pl.DataFrame) -> None:
        """Take a batch.

        Args:
            raw: Records as they came in.
            kept: What became of those that went on, with CHANGED and `place`.
        """
        # Rows that a person should look at first are shown among the flagged ones, or not at all.
        touched = kept.filter((pl.col(CHANGED) > 0) & (pl.col(FLAGS).list.len() == 0)).select(
            "place", CHANGED, "source", "offset", "part"
        )
        wanted = [
            touched.filter((pl.col(CHANGED) // (1 << bit)) % 2 == 1)
            .bottom_k(EXAMPLES, by="place")
            .with_columns(pl.lit(bit, pl.UInt8).alias("bit"))
            for bit in range(len(self._steps))
            if len(touched)
        ]
        if not wanted:
            return
        # Rows that were cut into several have other numbers of parts than their record.
        found = pl.concat(wanted).join(
            raw.unique(["source", "offset", "part"], keep="first"), on=["source", "offset", "part"], how="inner"
        )
        self._found = _smallest(pl.concat([self._found, found.select(self._found.columns)]))

    def excerpts(self) -> Excerpts:
        """Texts before and after, by operator."""
        if self._found.is_empty():
            return {}
        records = self._found.unique("place", keep="first", maintain_order=True)
        places = dict(
            zip(records["place"].to_list(), trace.trace(records.select(RECORDS.names()), self._steps), strict=True)
        )
        shown: Excerpts = {}
        for bit, place in self._found.select("bit", "place").iter_rows():
            name = self._steps[bit].name
            shown.setdefault(name, []).extend(_excerpt(place, places[place], name))
        return {name: found for name, found in shown.items() if found}


def merged(parts: Iterable[Excerpts]) -> Excerpts:
    """The excerpts of all parts, as few as those of each."""
    together: dict[str, dict[int, dict[str, Any]]] = {}
    for part in parts:
        for name, found in part.items():
            for one in found:
                together.setdefault(name, {}).setdefault(one["place"], one)
    return {name: [found[place] for place in sorted(found)[:EXAMPLES]] for name, found in together.items()}


def _smallest(found: pl.DataFrame) -> pl.DataFrame:
    unique = found.unique(["bit", "place"], keep="first", maintain_order=True).sort("bit", "place", maintain_order=True)
    return unique.group_by("bit", maintain_order=True).head(EXAMPLES).select(found.columns)


def _excerpt(place: int, way: Way, operator: str) -> list[dict[str, Any]]:
    change = next((one for one in way.changes if one.operator == operator), None)
    if change is None:
        return []
    before, after = diff.window(change.before, change.after, CHARACTERS)
    if operator in HIDING:
        pieces = diff.words(before, after)
        before = "".join(_blocks(p.text) if p.kind == "removed" else p.text for p in pieces if p.kind != "added")
    if hidden := _hidden(way):
        pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, hidden))})(?!\w)")
        before, after = (pattern.sub(lambda found: _blocks(found[0]), text) for text in (before, after))
    return [{"place": place, "source": way.source, "offset": way.offset, "before": before, "after": after}]


def _hidden(way: Way) -> list[str]:
    """Words that an operator took out of this row because they tell who somebody is; the longest first."""
    gone: set[str] = set()
    for change in way.changes:
        if change.operator in HIDING:
            gone |= _words(change.before) - _words(change.after)
    return sorted(gone, key=lambda word: (-len(word), word))


def _words(text: str) -> set[str]:
    bare = (word.strip(_AROUND) for word in text.split())
    return {word for word in bare if len(word) >= SHORT}


def _blocks(text: str) -> str:
    return "".join(letter if letter.isspace() else "█" for letter in text)
