"""Where every row went, with a few of the rejected rows that preparation chose to show."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pakar import files, text
from pakar.conversation import SPLITS
from pakar.report import wording
from pakar.run import Run

EXAMPLES_PER_REASON = 3
EXCERPT = 160
"""Characters of a rejected row that are shown."""

_E_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_NUMBER = re.compile(r"\+?\d(?:[\s().\-/]{0,2}\d){6,}")


@dataclass(frozen=True, slots=True)
class Count:
    """A number of rows with its name and what the name means."""

    name: str
    rows: int
    meaning: str


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A rejected row, with addresses and numbers of people masked."""

    reason: str
    source: str
    offset: int
    detail: str
    excerpt: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where every row went."""

    rows_in: int
    kept: int
    rejected: tuple[Count, ...]
    unreadable: int
    changed: tuple[Count, ...]
    splits: dict[str, int]
    augmented: int
    groups_crossing: int
    examples: tuple[RejectedRow, ...]
    sources: tuple[Count, ...]


def read(run: Run) -> Ledger | None:
    """Where every row went; None before preparation has finished."""
    if not run.ledger_file.exists():
        return None
    found = files.read_json(run.ledger_file)
    return Ledger(
        rows_in=found["rows_in"],
        kept=found["kept"],
        rejected=_counts(found["rejected"], wording.reason),
        unreadable=int(found.get("unreadable", 0)),
        changed=_counts(found["changed"], wording.operator),
        splits={str(name): int(rows) for name, rows in found["splits"].items()},
        augmented=found["augmented"],
        groups_crossing=found["groups_crossing"],
        examples=tuple(_examples(run)),
        sources=_sources(run),
    )


def masked(content: str) -> str:
    """`content` without e-mail addresses and without what looks like a telephone or account number.

    >>> masked("write to ann@example.org or +62 812-3456-789 before 2026")
    'write to [e-mail] or [number] before 2026'
    """
    return _NUMBER.sub("[number]", _E_MAIL.sub("[e-mail]", content))


def _counts(rows: Mapping[str, int], meaning: Any) -> tuple[Count, ...]:
    """Most frequent first."""
    ordered = sorted(rows.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Count(name, int(number), meaning(name)) for name, number in ordered)


def shown(run: Run) -> dict[str, Any]:
    """The content of excerpts.json: the only texts of the data that pages show."""
    return files.read_json_if_whole(run.excerpts_file) or {}


def rejected_row(row: Mapping[str, Any], length: int) -> RejectedRow:
    """A row of excerpts.json; `length` is the most characters of its words. Masked before it is cut."""
    detail, excerpt = (text.shorten(masked(row.get(name) or ""), length) for name in ("detail", "text"))
    return RejectedRow(row.get("reason", ""), Path(row["source"] or "").name, row["offset"] or 0, detail, excerpt)


def _examples(run: Run) -> Iterator[RejectedRow]:
    seen: Counter[str] = Counter()
    for row in sorted(shown(run).get("rejected", ()), key=lambda row: str(row["reason"])):
        seen[row["reason"]] += 1
        if seen[row["reason"]] <= EXAMPLES_PER_REASON:
            yield rejected_row(row, EXCERPT)


def _sources(run: Run) -> tuple[Count, ...]:
    """Kept rows by source file, without those made by re-phrasing."""
    paths = [path for split in SPLITS for path in sorted(run.examples_dir(split).glob("*.parquet"))]
    if not paths:
        return ()
    kept = pl.scan_parquet(paths).filter(~pl.col("augmented")).group_by("source").len().collect()
    total: dict[str, int] = {}
    for source, rows in kept.iter_rows():
        total[Path(source or "").name] = total.get(Path(source or "").name, 0) + rows
    return _counts(total, lambda _: "")
