"""Is the first row of a table its column names, and which names do the columns get."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from pakar.prepare.sources.names import is_known_name

_NUMBER = re.compile(r"[-+]?[\d.,]+%?")
_NUMBERED = re.compile(r"column_\d+")
LONGEST_NAME = 60
MOST_WORDS = 6


def is_header(cells: Sequence[str], wanted: Collection[str] = ()) -> bool:
    """Whether `cells`, the first row, are names.

    Args:
        cells: The first row.
        wanted: Column names that the recipe speaks of; finding them in the row settles the matter, and so do
            the names of a table without header (`column_1`).
    """
    names = [cell.strip() for cell in cells]
    if wanted:
        if all(name in names for name in wanted):
            return True
        if all(_NUMBERED.fullmatch(name) for name in wanted):
            return False
    filled = [name for name in names if name]
    if not filled or not all(map(_could_be_name, filled)):
        return False
    return len(set(filled)) == len(filled) or any(map(is_known_name, filled))


def _could_be_name(cell: str) -> bool:
    return (
        len(cell) <= LONGEST_NAME
        and len(cell.split()) <= MOST_WORDS
        and "\n" not in cell
        and not cell.endswith((".", "!", ",", ";", "…"))
        and (not cell.endswith("?") or is_known_name(cell))
        and (cell[0].isalpha() or cell[0] in "_#(")
        and not _NUMBER.fullmatch(cell)
        and not cell.startswith(("http:", "https:"))
    )


def column_names(cells: Sequence[str]) -> tuple[str, ...]:
    """Unique names: a nameless column is called by its number (`column_3`), a repeated name gets one (`text_2`)."""
    names: list[str] = []
    for position, cell in enumerate(cells, 1):
        base = cell.strip() or f"column_{position}"
        name, copy = base, 2
        while name in names:
            name, copy = f"{base}_{copy}", copy + 1
        names.append(name)
    return tuple(names)


def numbered(count: int) -> tuple[str, ...]:
    """Names for the columns of a table without header."""
    return tuple(f"column_{position}" for position in range(1, count + 1))
