"""What the models said, kept beside the stage's directory, which is wiped whenever a figure is defined anew.

So other wanted lengths, levels or numbers of resamples are computed without a model. Likelihoods are kept too.

A file's name holds the fingerprint of all that decides its content. A file of that name therefore belongs to the same
inputs, whole or interrupted, and one of other inputs is never read; whatever is lost is only computed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pakar import files, text
from pakar.conversation import Example
from pakar.evaluate import systems
from pakar.evaluate.likelihood import Likelihood
from pakar.evaluate.systems import SystemName
from pakar.models.base import BaseModel
from pakar.run import Run, section_fingerprint

DIRECTORY = ".measured"
"""In the run directory. May be removed at any time."""

_CODE = ("conversation.py", "engine", "models", "evaluate/answers.py", "evaluate/likelihood.py", "evaluate/systems.py")


@dataclass(frozen=True)
class Kept:
    """The two files of one system.

    Attributes:
        answers: As `answers.generate` writes them; may end after any batch.
        likelihoods: One line an example of the test split; there when it is whole.
    """

    answers: Path
    likelihoods: Path

    def has_answers(self, asked: Sequence[Example]) -> bool:
        """Whether every question is answered."""
        rows = _rows(self.answers)
        return rows is not None and [row["id"] for row in rows] == [example.id for example in asked]

    def read_likelihoods(self) -> list[Likelihood] | None:
        """The likelihoods of the test split; None if they are not there."""
        rows = _rows(self.likelihoods)
        return None if rows is None else [Likelihood(**row) for row in rows]

    def write_likelihoods(self, found: Iterable[Likelihood]) -> None:
        """Keep them, all at once."""
        files.write_json_lines(self.likelihoods, (likelihood._asdict() for likelihood in found))


def find(name: SystemName, run: Run, base: BaseModel, test: Sequence[Example], asked: Sequence[Example]) -> Kept:
    """Where the files of one system are, or will be."""
    tuned = run.output("train", "model") if name == "tuned" else ""
    renderer, context = systems.renderer(name, run, base), str(systems.context_tokens(run, base))
    model = text.fingerprint(name, base.fingerprint, tuned, renderer.fingerprint, context, _code())
    section = run.recipe.evaluate
    drawn = (section_fingerprint(section.sampling), str(section.batch_size), str(run.recipe.seed))
    said = text.fingerprint(model, *drawn, *(example.id for example in asked))
    found = text.fingerprint(model, *(example.id for example in test))
    directory = run.directory / DIRECTORY
    return Kept(directory / f"{name}-answers-{said}.jsonl", directory / f"{name}-likelihoods-{found}.jsonl")


def forget_others(run: Run, used: Iterable[Kept]) -> None:
    """Remove what earlier inputs left."""
    wanted = {path for kept in used for path in (kept.answers, kept.likelihoods)}
    for path in set((run.directory / DIRECTORY).glob("*.jsonl")) - wanted:
        files.remove(path)


def _rows(path: Path) -> list[Any] | None:
    """The lines of a file; None if there is none, or if it was damaged: then it goes, and is made again."""
    try:
        return files.read_json_lines(path) if path.exists() else None
    except ValueError:
        files.remove(path)
        return None


def _code() -> str:
    """SHA-256 over the source files that decide what a model says; those that score it are left out."""
    package = Path(__file__).parent.parent
    roots = [package / part for part in _CODE]
    return files.tree_sha256([p for root in roots for p in (root.rglob("*.py") if root.is_dir() else [root])], package)
