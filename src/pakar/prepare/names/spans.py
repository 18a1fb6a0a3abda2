"""What every name recogniser gives back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Span(NamedTuple):
    """A piece of a text, in characters: `text[start:end]`."""

    start: int
    end: int


class NameRecogniser(Protocol):
    """Finds the names of people."""

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """For each text its names in order; they do not overlap, and titles ("Dr.") and a possessive 's are outside."""
        ...
