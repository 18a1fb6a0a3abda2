"""Answers while training: the same validation questions at every measurement, scored as the final evaluation scores them.

A falling loss does not show that a model has unlearnt to stop, or repeats itself; its answers do. They are generated greedily,
a few at a time, and only their text is kept, so memory does not grow with the number of questions. Training does not notice: no
random number is drawn that it would have drawn.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel

from pakar import files
from pakar.conversation import Example
from pakar.engine import Completion
from pakar.engine.local import LocalEngine
from pakar.metrics import ANSWER_COLUMNS
from pakar.models.prompt import Renderer
from pakar.recipe import Evaluate

BATCH = 8
"""Questions answered at once."""
PREFIX = "answers_"
"""Before the names of the scores in metrics.jsonl."""
FEW = 0.5
"""Warn when a smaller share of the answers ends by itself, or a larger share is empty."""
WORSE = 0.8
"""Warn when the answers agree with the references this much less than the untrained model's did."""


class Answer(NamedTuple):
    """What the metrics see of an answer."""

    answer: str
    reference: str
    stop_reason: str


@dataclass(frozen=True)
class Questions:
    """The questions of a training.

    Attributes:
        asked: The same ones at every measurement.
        renderer: That of the training.
        context_tokens: Prompt and answer together never pass this.
        section: How long answers may be, and what is wanted of them.
        path: answers.jsonl.
    """

    asked: Sequence[Example]
    renderer: Renderer
    context_tokens: int
    section: Evaluate
    path: Path

    def ask(self, model: PreTrainedModel, step: int) -> dict[str, float]:
        """Answer all questions with the model as it is; returns the mean of every score, for metrics.jsonl."""
        rows = []
        for start in range(0, len(self.asked), BATCH):
            batch = self.asked[start : start + BATCH]
            for example, completion in zip(batch, self._complete(model, batch), strict=True):
                rows.append(self._row(example, completion, step))
        self._append(rows)
        return means(rows)

    def forget_after(self, step: int) -> None:
        """Cut the answers back to a checkpoint; a measurement that was torn goes whole."""
        known = [row for row in files.read_json_lines(self.path) if row["step"] <= step]
        counts = Counter(row["step"] for row in known)
        whole = [row for row in known if counts[row["step"]] == len(self.asked)]
        files.write_json_lines(self.path, whole)

    def at(self, step: int) -> dict[str, float]:
        """The mean scores of a step that was measured; empty where it was not."""
        return means([row for row in files.read_json_lines(self.path) if row["step"] == step])

    def can_end(self) -> float:
        """Share of the questions whose reference answer, and the mark that ends it, fits into the longest answer."""
        lengths = (len(self.renderer.ids(example.reference)) + 1 for example in self.asked)
        return sum(length <= self.section.sampling.max_tokens for length in lengths) / max(1, len(self.asked))

    def _append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """On the disk before the metrics that are made of them."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())

    def _complete(self, model: PreTrainedModel, batch: Sequence[Example]) -> list[Completion]:
        """Greedy answers; afterwards mode and random generators are what they were."""
        training = model.training
        sampling = self.section.sampling.model_copy(update={"temperature": 0.0})
        mine = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        # Compiled layers would be compiled anew for every length of the cache.
        with torch.random.fork_rng(devices=mine), torch.compiler.set_stance("force_eager"):
            model.train(False)
            try:
                engine = LocalEngine(model, self.renderer, self.context_tokens)
                return engine.complete([example.prompt for example in batch], sampling, seed=0)
            finally:
                model.train(training)

    def _row(self, example: Example, completion: Completion, step: int) -> dict[str, Any]:
        answer = Answer(completion.text, example.reference, completion.stop_reason)
        scores = {name: float(column(answer, self.section)) for name, column in ANSWER_COLUMNS.items()}
        return {"step": step, "id": example.id, "answer": answer.answer, "stop_reason": answer.stop_reason, **scores}


def means(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of every score under its name in metrics.jsonl."""
    if not rows:
        return {}
    return {PREFIX + name: sum(row[name] for row in rows) / len(rows) for name in ANSWER_COLUMNS}


def warning(before: Mapping[str, float], now: Mapping[str, float], can_end: float) -> str | None:
    """What is wrong with the answers, whatever the loss says.

    Args:
        before: Mean scores of the untrained model.
        now: Those of the latest measurement.
        can_end: Share of the answers that are short enough to end.
    """
    if not now:
        return None
    if now[PREFIX + "empty"] > FEW:
        return f"the model has stopped answering: {now[PREFIX + 'empty']:.0%} of its answers to validation questions are empty"
    if now[PREFIX + "ended"] < FEW * can_end:
        return (
            f"the model does not stop: only {now[PREFIX + 'ended']:.0%} of its answers to validation questions end by themselves, "
            f"though {can_end:.0%} of the reference answers are short enough"
        )
    if before and now[PREFIX + "chrf"] < WORSE * before[PREFIX + "chrf"]:
        return (
            f"the answers have become worse, whatever the loss says: they agree less with the references than the untrained model's did "
            f"(chrF {before[PREFIX + 'chrf']:.1f} → {now[PREFIX + 'chrf']:.1f})"
        )
    return None
