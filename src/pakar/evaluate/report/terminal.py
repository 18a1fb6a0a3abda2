"""The end of a run as the terminal shows it: what was done, the table, where the report is, what to type next."""

from __future__ import annotations

from io import StringIO

from rich.console import Console
from rich.table import Table

from pakar.evaluate.report import pages
from pakar.evaluate.report.content import Estimate, Metric, Report
from pakar.run import Run

WIDTH = 100


def summary(run: Run, report: Report) -> str:
    """Plain text of at most 100 columns."""
    out = Console(file=StringIO(), width=WIDTH, color_system=None, highlight=False)
    out.print(_done(report), markup=False)
    if report.metrics:
        out.print(_table(report))
    out.print(f"\n{report.verdict.sentence}", markup=False)
    for warning in report.warnings:
        out.print(f"Note: {warning}", markup=False)
    out.print(f"\nReport: {run.report_html}\nModel:  {run.model_dir}", markup=False, soft_wrap=True)
    out.print(
        f"\nNext:\n  open {run.report_html}\n  pakar chat {run.directory} --system both", markup=False, soft_wrap=True
    )
    assert isinstance(out.file, StringIO)  # noqa: S101 - narrows a type for the checker
    return out.file.getvalue().rstrip()


def _done(report: Report) -> str:
    """What happened, a line a stage."""
    lines = [f"\nRun {report.name}"]
    if ledger := report.ledger:
        rejected = ledger.rows_in - ledger.kept
        splits = ", ".join(f"{rows:,} {name}" for name, rows in ledger.splits.items())
        lines.append(
            f"  prepare   {ledger.rows_in:,} rows in = {ledger.kept:,} kept ({splits}) + {rejected:,} rejected"
        )
        if ledger.augmented:
            lines.append(f"            {ledger.augmented:,} re-phrased copies of training rows added")
    if training := report.training:
        share = f"{training['trainable_parameters']:,} of {training['total_parameters']:,} weights"
        lines.append(
            f"  train     {training['method']}, {share}, {training['steps']:,} steps, best at step {training['best_step']:,}"
        )
    if report.metrics:
        lines.append(f"  evaluate  {len(report.systems)} systems, {report.answers_in_all:,} questions answered by each")
    took = sum(report.seconds.values())
    return "\n".join(
        [*lines, f"  time      {took:,.0f} s: " + ", ".join(f"{n} {s:,.0f} s" for n, s in report.seconds.items()), ""]
    )


def _table(report: Report) -> Table:
    percent = f"{report.confidence:.0%}"
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for system in report.systems:
        table.add_column(system, justify="right")
    table.add_column(f"difference ({percent} interval)", justify="right")
    table.add_column("")
    for metric in report.metrics:
        cells = [
            pages.value(cell)[0] if isinstance(cell, Estimate) else "-"
            for cell in (metric.systems.get(s) for s in report.systems)
        ]
        table.add_row(metric.title, *cells, *_difference(metric))
    return table


def _difference(metric: Metric) -> tuple[str, str]:
    if not metric.comparisons:
        return "-", ""
    comparison = metric.comparisons[0]
    figure, interval = pages.change(metric, comparison)[:2]
    return f"{figure} ({interval})" if interval else figure, comparison.outcome
