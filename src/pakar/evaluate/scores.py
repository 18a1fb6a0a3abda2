"""One line of numbers per test example and system: from likelihoods and stored answers, without any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pakar import files
from pakar.conversation import Example
from pakar.evaluate.answers import Answer
from pakar.evaluate.likelihood import Likelihood
from pakar.metrics import ANSWER_COLUMNS
from pakar.recipe import Evaluate


@dataclass(frozen=True, slots=True)
class Score:
    """One example under one system, as a line of scores/<system>.jsonl.

    Attributes:
        id: Of the example.
        group: Of the example; examples of one group are not independent.
        columns: Name → number. None: not known. The columns of an answer are absent where none was generated.
    """

    id: str
    group: str
    columns: Mapping[str, float | None]


def score(
    examples: Sequence[Example], likelihoods: Sequence[Likelihood], answers: Sequence[Answer], section: Evaluate
) -> list[Score]:
    """Scores of `examples`, in order. An answer counts once, also where an example is repeated."""
    unused = {answer.id: answer for answer in answers}
    scores = []
    for example, likelihood in zip(examples, likelihoods, strict=True):
        columns: dict[str, float | None] = {
            "nll": likelihood.nats,
            "tokens": likelihood.tokens,
            "bytes": likelihood.bytes,
            "truncated": likelihood.truncated,
        }
        answer = unused.pop(example.id, None)
        if answer is not None:
            columns |= {name: column(answer, section) for name, column in ANSWER_COLUMNS.items()}
        scores.append(Score(example.id, example.group, columns))
    return scores


def write(path: Path, scores: Sequence[Score]) -> None:
    """Write one JSON object a line, atomically."""
    files.write_json_lines(path, ({"id": s.id, "group": s.group, **s.columns} for s in scores))


def read(path: Path) -> list[Score]:
    """All scores in `path`."""
    return [_from_row(row) for row in files.read_json_lines(path)]


def _from_row(row: dict[str, Any]) -> Score:
    return Score(row.pop("id"), row.pop("group"), row)
