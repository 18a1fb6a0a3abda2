"""The ledger: where every row went. rows in = kept + rejected, or the program stops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pakar.errors import DataError
from pakar.prepare.decide import Decision
from pakar.prepare.executor import Report

READER, ALWAYS = "read", ("empty", "context")
"""Who rejects rows beside the operators of the recipe: the reader, and what is done after them in every run."""
SETTLED_BY = {"duplicate": "duplicates", "near_duplicate": "near-duplicates", "not_sampled": "sample"}
"""Reason → who rejects for it, of what is settled over all rows together."""


@dataclass
class Ledger:
    """Counts that grow while rows flow through preparation.

    Attributes:
        rows_in: Rows found in the sources, and those that were added by cutting some of them into several.
        added: Those added.
        kept: Rows that reached a split.
        rejected: Reason → rows.
        changed: Operator → rows in which it changed something and which went on.
        splits: Split → rows, without augmented ones.
        augmented: Rows made from training rows.
        groups_crossing: Groups found in more than one split.
        flagged: Flag → rows kept that carry it.
        unreadable: Rows that a reader could make nothing of.
        seconds: Operator → time spent in it, over all workers.
        rejected_by: Operator → rows it rejected.
    """

    rows_in: int = 0
    added: int = 0
    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    augmented: int = 0
    groups_crossing: int = 0
    flagged: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    seconds: Counter[str] = field(default_factory=Counter)
    rejected_by: Counter[str] = field(default_factory=Counter)

    def add_cleaned(self, reports: Iterable[Report]) -> None:
        """What the first step tells."""
        for report in reports:
            self.rows_in += report["rows"]
            self.added += report["added"]
            self.unreadable += report["unreadable"]
            for operator, reason, rows in report["rejected"]:
                self.rejected[reason] += rows
                self.rejected_by[operator] += rows
            self.seconds.update(report["seconds"])

    def add_decision(self, decision: Decision) -> None:
        """What was left out, and what goes where."""
        self.rejected.update(decision.rejected)
        self.rejected_by.update({SETTLED_BY[reason]: rows for reason, rows in decision.rejected.items()})
        self.splits.update(decision.rows)
        self.groups_crossing += decision.crossings

    def add_gathered(self, reports: Iterable[Report]) -> None:
        """What was written."""
        for report in reports:
            self.kept += report["rows"]
            self.changed.update(report["changed"])
            self.flagged.update(report["flagged"])

    def check(self) -> None:
        """Stop if a row was lost or a group was parted: that is a fault of the program, not of the data."""
        out = self.kept + self.rejected.total()
        if self.rows_in != out or self.kept != self.splits.total():
            raise AssertionError(
                f"rows were lost: {self.rows_in} in, {self.kept} kept, {dict(self.rejected)} rejected, {dict(self.splits)}"
            )
        if self.groups_crossing:
            raise AssertionError(f"{self.groups_crossing} groups stand in more than one split")

    def check_unreadable(self, allowed: float) -> None:
        """Stop if too many rows could not even be read.

        Raises:
            DataError: more than the allowed share.
        """
        records = self.rows_in - self.added
        if self.unreadable > allowed * records:
            raise DataError(f"{self.unreadable:,} of {records:,} rows could not be read; {self.summary()}; allowed is a share of {allowed:g}",
                            next_step="look at the rejected rows in the run directory, name format, encoding or shape of the source in the "
                            "recipe, or allow more with --set prepare.max_unreadable=…")  # fmt: skip

    def summary(self) -> str:
        """Rejections in one line."""
        return ", ".join(f"{reason} {count:,}" for reason, count in self.rejected.most_common()) or "nothing rejected"

    def flow(self, operators: Iterable[str]) -> list[dict[str, Any]]:
        """What each step left: the reader, the recipe's `operators`, and what is settled over all rows, in this order.

        The last step's `left` is what was kept. An operator that stands twice in the recipe is counted in its first place.
        """
        left, steps = self.rows_in, []
        for name in dict.fromkeys([READER, *operators, *ALWAYS, *SETTLED_BY.values()]):
            left -= self.rejected_by[name]
            steps.append(
                {"operator": name, "rejected": self.rejected_by[name], "changed": self.changed[name], "left": left}
            )
        return steps

    def as_json(self, operators: Iterable[str] = ()) -> dict[str, Any]:
        """The content of ledger.json; `operators` are those of the recipe, in order."""
        return {
            "rows_in": self.rows_in,
            "added_by_cutting": self.added,
            "kept": self.kept,
            "rejected": dict(sorted(self.rejected.items())),
            "unreadable": self.unreadable,
            "changed": dict(sorted(self.changed.items())),
            "splits": {name: self.splits[name] for name in ("train", "validation", "test")},
            "augmented": self.augmented,
            "groups_crossing": self.groups_crossing,
            "flagged": dict(sorted(self.flagged.items())),
            "flow": self.flow(operators),
        }

    def timings(self, operators: Iterable[str], steps: Mapping[str, float]) -> dict[str, Any]:
        """The content of timings.json: rows that each operator saw, seconds in it of all workers together, seconds of each step."""
        seen = {step["operator"]: step["left"] + step["rejected"] for step in self.flow(operators)}
        later = {"tokenise": seen["context"], "keys": seen["duplicates"], "near-duplicates": seen["duplicates"]}
        return {
            "operators": {
                name: {"rows": (seen | later).get(name, self.rows_in), "seconds": round(seconds, 3)}
                for name, seconds in self.seconds.items()
            },
            "steps": {name: round(seconds, 3) for name, seconds in steps.items()},
        }
