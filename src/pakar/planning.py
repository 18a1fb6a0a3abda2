"""`pakar plan`: what would become of the data, and what training on them would take. The two halves meet here alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from pakar.errors import DataError, UserError
from pakar.prepare import plan as preparation
from pakar.recipe import Recipe
from pakar.report.console import printable
from pakar.train import plan as training


class Question(NamedTuple):
    """What is asked.

    Attributes:
        rows: Of each source that are looked at, at most.
        show: So many rows are followed through the operators.
        device: That training is planned for; empty for this machine.
        runs_dir: Where the run would be.
    """

    rows: int
    show: int
    device: str
    runs_dir: Path


class WholePlan(NamedTuple):
    """Both halves.

    Attributes:
        preparation: Of the data; None if they cannot be looked at.
        problem: Why not.
        training: Of the training.
        imagined: Whether the device was named, and need not be this machine.
    """

    preparation: preparation.Plan | None
    problem: UserError | None
    training: training.TrainingPlan
    imagined: bool

    @property
    def exit_code(self) -> int:
        """0 if nothing stands in the way here; of a named device nothing is asked but the plan."""
        if self.imagined:
            return 0
        if self.problem is not None:
            return self.problem.exit_code
        return 0 if self.training.fits else 5


def look(recipe: Recipe, question: Question) -> WholePlan:
    """Plan both halves. Without data, or without the tokenizer, training is planned all the same.

    Raises:
        RecipeError: nothing is known of the base model or of the device, or the method does not suit.
    """
    device = training.named(question.device) if question.device else None
    found, problem = None, None
    try:
        found = preparation.look(recipe, rows=question.rows, show=question.show)
    except UserError as error:
        problem = error
    data = None if found is None else _lengths(found)
    planned = training.look(recipe, device=device, data=data, runs_dir=question.runs_dir)
    return WholePlan(found, problem, planned, device is not None)


def as_json(found: WholePlan) -> dict[str, Any]:
    """One object."""
    half = {} if found.preparation is None else preparation.as_json(found.preparation)
    problem = {} if found.problem is None else {"problem": str(found.problem)}
    return {**half, **problem, "training": training.as_json(found.training)}


def show(found: WholePlan, out: Console) -> None:
    """Print both halves."""
    if found.preparation is not None:
        preparation.show(found.preparation, out)
    if found.problem is not None:
        what = "The data cannot be looked at" if isinstance(found.problem, DataError) else "The data were not looked at"
        out.print(Text(f"{what}:", style="bold red"))
        out.print(Padding(Text(printable(str(found.problem))), (0, 0, 0, 2), expand=False))
    training.show(found.training, out)


def _lengths(found: preparation.Plan) -> training.Lengths | None:
    if not len(found.lengths):
        return None
    learnt = found.estimate.learnt / max(found.estimate.tokens, 1)
    return training.Lengths(found.estimate.rows, found.lengths, learnt)
