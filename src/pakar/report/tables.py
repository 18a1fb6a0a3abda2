"""The table of lengths, one column for each column of the data and unit, before cleaning and of the rows kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

FIGURES = ("count", "mean", "standard deviation", "min", "max", "total")
UNITS = ("words", "tokens", "characters")


class Column(NamedTuple):
    """One column of the table.

    Attributes:
        name: Of the column of the data.
        source_name: What the sources call it, where all call it the same and not by this name.
        unit: What is counted.
        when: Of the rows as they came in, or of those kept.
        numbers: From statistics.json.
    """

    name: str
    source_name: str
    unit: str
    when: Literal["came in", "kept"]
    numbers: dict[str, Any]


def columns(statistics: Mapping[str, Any]) -> list[Column]:
    """All columns, unit by unit; words before and after stand side by side."""
    before = (statistics.get("before") or {}).get("columns") or {}
    after = statistics.get("columns") or {}
    names = statistics.get("names") or {}
    found = []
    for unit in UNITS:
        for name in dict.fromkeys([*after, *before]):
            others = [other for other in names.get(name, ()) if other != name]
            called = others[0] if len(others) == 1 else ""
            for when, part in (("came in", before), ("kept", after)):
                numbers = part.get(name, {}).get(unit)
                if numbers:
                    found.append(Column(name, called, unit, "came in" if when == "came in" else "kept", numbers))
    return found


def figures(numbers: Mapping[str, Any]) -> list[str]:
    """The numbers of a column, in the order of FIGURES."""
    mean, spread = (f"{float(numbers[key] or 0):,.2f}" for key in ("mean", "stddev"))
    return [f"{numbers['count']:,}", mean, spread, *(f"{numbers[key]:,}" for key in ("min", "max", "total"))]


def called(statistics: Mapping[str, Any]) -> str:
    """What several sources call the columns, in a sentence; empty where the table's heads say it."""
    several = {name: found for name, found in (statistics.get("names") or {}).items() if len(found) > 1}
    return "".join(f" The sources call the {name} {' or '.join(found)}." for name, found in several.items())
