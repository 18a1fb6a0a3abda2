"""The page about the data of a run, `data.html`: where every row went, how long rows are, what cleaning did."""

from __future__ import annotations

from pathlib import Path

from pakar import files
from pakar.report.data import page
from pakar.report.data.collect import collect
from pakar.run import Run

__all__ = ["write"]


def write(run: Run) -> Path | None:
    """Write the page if preparation has finished. Same run directory, same bytes.

    Returns:
        The page; None if there is nothing to tell yet.
    """
    found = collect(run)
    if found is None:
        return None
    files.write_text(run.data_html, page.html(found))
    return run.data_html
