"""What a detector finds, and how overlaps are settled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from pakar.recipe.operators import PersonalType


class Found(NamedTuple):
    """Personal data at `text[start:end]`.

    Attributes:
        start: Index of its first character.
        end: Index behind its last one.
        type: What it is.
        verified: It passed a checksum; between two finds of the same length the verified one wins.
    """

    start: int
    end: int
    type: PersonalType
    verified: bool = False


class Detector(NamedTuple):
    """How one type is found.

    Attributes:
        type: What it finds.
        candidates: Linear-time pattern, for Polars and `re` alike; texts without a match hold nothing of this type.
        find: All finds in one text; they may overlap.
    """

    type: PersonalType
    candidates: str
    find: Callable[[str], Iterable[Found]]


def find_all(text: str, detectors: Iterable[Detector]) -> list[Found]:
    """Finds of all detectors in the order of the text, free of overlaps: the longest wins, then the one with a checksum."""
    return longest([found for detector in detectors for found in detector.find(text)])


def longest(found: Sequence[Found]) -> list[Found]:
    """A choice without overlaps, in the order of the text."""
    chosen: list[Found] = []
    for one in sorted(found, key=lambda one: (one.start - one.end, not one.verified, one.start)):
        if all(one.end <= other.start or other.end <= one.start for other in chosen):
            chosen.append(one)
    return sorted(chosen)
