"""The report of a run: `report.html` for people, `report.json` for programs, `MODEL_CARD.md` to go with the model.

`data.html`, the page about the data, is written beside it.
"""

from __future__ import annotations

from pathlib import Path

from pakar import files
from pakar.evaluate.report import pages, terminal
from pakar.evaluate.report.collect import collect
from pakar.report import data
from pakar.run import Run

__all__ = ["terminal_summary", "write"]


def write(run: Run) -> Path:
    """Write the report of all stages that have finished. Same run directory, same bytes.

    Returns:
        The page for people.
    """
    report = collect(run)
    data.write(run)
    files.write_json(run.report_json, pages.as_json(report))
    files.write_text(run.model_card_file, pages.card(report))
    files.write_text(run.report_html, pages.page(report))
    return run.report_html


def terminal_summary(run: Run) -> str:
    """What the terminal shows at the end of a run."""
    return terminal.summary(run, collect(run))
