"""What the data page says, as values: no files, no HTML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from pakar.report.diff import Piece
from pakar.report.ledger import Ledger, RejectedRow


class Loss(NamedTuple):
    """Rows that one operator rejected for one reason.

    Attributes:
        operator: Who rejected them.
        reason: Its word.
        rows: How many.
        meaning: Of the reason, for people.
        examples: A few of them.
    """

    operator: str
    reason: str
    rows: int
    meaning: str
    examples: tuple[RejectedRow, ...]


class Change(NamedTuple):
    """One text before and after an operator."""

    source: str
    offset: int
    pieces: tuple[Piece, ...]


class Changed(NamedTuple):
    """What one operator did."""

    operator: str
    rows: int
    meaning: str
    examples: tuple[Change, ...]


class Pair(NamedTuple):
    """A row that was left out, and the one that stands for it."""

    dropped: RejectedRow
    pieces: tuple[Piece, ...]
    kept_source: str
    kept_offset: int


class Flag(NamedTuple):
    """Rows that an operator marked.

    Attributes:
        name: The mark.
        rows: How many rows carry it.
        examples: (source, offset, excerpt); the excerpt is empty where it is not to be shown.
    """

    name: str
    rows: int
    examples: tuple[tuple[str, int, str], ...]


class SourceRows(NamedTuple):
    """One source of the recipe."""

    name: str
    rows_in: int
    kept: int
    rejected: int


class Speed(NamedTuple):
    """Time of one operator, all workers together."""

    operator: str
    seconds: float
    rows_a_second: float


@dataclass(frozen=True, slots=True)
class DataPage:
    """Everything that the page says.

    Attributes:
        name: Of the run.
        ledger: Where every row went.
        losses: In the order in which rows met the operators.
        changed: In the order of the operators.
        flags: Most frequent first.
        pairs: Of nearly equal rows.
        statistics: The content of statistics.json.
        sources: In the order of the recipe.
        speeds: In the order of the operators.
        seconds: The whole stage took.
        names_hidden: Whether the recipe hides names of persons.
    """

    name: str
    ledger: Ledger
    losses: tuple[Loss, ...]
    changed: tuple[Changed, ...]
    flags: tuple[Flag, ...]
    pairs: tuple[Pair, ...]
    statistics: dict[str, Any]
    sources: tuple[SourceRows, ...]
    speeds: tuple[Speed, ...]
    seconds: float
    names_hidden: bool
