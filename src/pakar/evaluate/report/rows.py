"""The data part of a report: where every row went, with a few rejected rows whose e-mail addresses are masked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from pakar import files, text
from pakar.conversation import SPLITS
from pakar.evaluate.report import wording
from pakar.evaluate.report.content import Count, Ledger, RejectedRow
from pakar.run import Run

EXAMPLES_PER_REASON = 3
EXCERPT = 160
"""Characters of a rejected row that are shown."""

_E_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_NUMBER = re.compile(r"\+?\d(?:[\s().\-/]{0,2}\d){6,}")


def ledger(run: Run) -> Ledger | None:
    """Where every row went; None before preparation has finished."""
    if not run.ledger_file.exists():
        return None
    found = files.read_json(run.ledger_file)
    return Ledger(
        rows_in=found["rows_in"],
        kept=found["kept"],
        rejected=_counts(found["rejected"], wording.reason),
        changed=_counts(found["changed"], wording.operator),
        splits={str(name): int(rows) for name, rows in found["splits"].items()},
        augmented=found["augmented"],
        groups_crossing=found["groups_crossing"],
        examples=tuple(_examples(run, found["rejected"])),
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


def _examples(run: Run, reasons: Iterable[str]) -> Iterable[RejectedRow]:
    paths = sorted(run.rejected_dir.glob("*.parquet"))
    if not paths:
        return
    table = pl.scan_parquet(paths)
    for reason in sorted(reasons):
        found = table.filter(pl.col("reason") == reason).head(EXAMPLES_PER_REASON).collect()
        for row in found.iter_rows(named=True):
            # Masked before it is cut: half a telephone number at the cut would not be recognised.
            detail, excerpt = (text.shorten(masked(row[name] or ""), EXCERPT) for name in ("detail", "text"))
            yield RejectedRow(reason, Path(row["source"] or "").name, row["offset"] or 0, detail, excerpt)


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
