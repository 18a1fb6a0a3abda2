"""DataPage → HTML. Everything that comes from data is escaped by the template."""

from __future__ import annotations

from typing import Any, NamedTuple

from pakar.report import wording
from pakar.report.data import charts
from pakar.report.data.content import DataPage
from pakar.report.environment import environment
from pakar.report.tables import Column, called, columns, figures

MOST_LANGUAGES = 8
MOST_LABELS = 30


class Picture(NamedTuple):
    """A histogram with what stands above it."""

    title: str
    unit: str
    numbers: dict[str, Any]


def html(found: DataPage) -> str:
    """The content of data.html."""
    template = environment("pakar.report.data").get_template("data.html.jinja")
    table = columns(found.statistics)
    return template.render(
        page=found,
        charts=charts,
        wording=wording,
        table=table,
        figures=figures,
        called=called(found.statistics),
        pictures=_pictures(table),
        languages=_languages(found.statistics),
        labels=_labels(found.statistics),
        longest=found.statistics.get("longest"),
        row_tokens=(found.statistics.get("rows") or {}).get("tokens"),
    )


def _pictures(table: list[Column]) -> list[Picture]:
    return [
        Picture(column.name, column.unit, column.numbers)
        for column in table
        if column.unit in ("words", "tokens") and column.when == "kept" and "histogram" in column.numbers
    ]


def _languages(statistics: dict[str, Any]) -> list[tuple[str, float]]:
    shares = list(((statistics.get("languages") or {}).get("shares") or {}).items())
    named = [(wording.language(code), float(share)) for code, share in shares[:MOST_LANGUAGES]]
    rest = sum(share for _, share in shares[MOST_LANGUAGES:])
    return [*named, ("others", rest)] if rest else named


def _labels(statistics: dict[str, Any]) -> list[tuple[str, int, int]]:
    found = statistics.get("labels") or {}
    ordered = sorted(found.items(), key=lambda one: (-one[1]["rows_in"], one[0]))
    return [(label, rows["rows_in"], rows["kept"]) for label, rows in ordered]
