"""Generate answers and keep them. What is on disk is never generated again, so scoring can be repeated at will.

Batches are fixed by the order of the questions and each has its own seed, so an interrupted and resumed generation
gives the same answers as an uninterrupted one.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pakar import files, progress
from pakar.conversation import Example
from pakar.engine import Completion, Engine, StopReason
from pakar.recipe import Evaluate


@dataclass(frozen=True, slots=True)
class Answer:
    """One generated answer, as a line of answers/<system>.jsonl.

    Attributes:
        id: Of the example.
        messages: The prompt as `{role, content}`, without the recipe's system prompt.
        reference: The answer that the data gives.
        answer: The answer that the system gives.
        stop_reason: Whether it ended by itself.
        prompt_tokens: Tokens read.
        answer_tokens: Tokens written, the end mark included.
        seconds: Wall time of its batch, divided evenly.
        prompt_cut: The conversation was too long, and its oldest part was not read.
    """

    id: str
    messages: list[dict[str, str]]
    reference: str
    answer: str
    stop_reason: StopReason
    prompt_tokens: int
    answer_tokens: int
    seconds: float
    prompt_cut: bool = False


def read(path: Path) -> list[Answer]:
    """All complete answers in `path`."""
    return [Answer(**row) for row in files.read_json_lines(path)]


def generate(engine: Engine, asked: Sequence[Example], section: Evaluate, seed: int, path: Path) -> None:
    """Answer `asked` in order and append to `path`, batch by batch; whole batches that are there already stay.

    What is there must come from the same inputs: `kept` sees to it, by the name of the file.
    """
    batches = [asked[start : start + section.batch_size] for start in range(0, len(asked), section.batch_size)]
    done = _keep_whole_batches(path, batches)
    with progress.track(f"evaluate: answers, {path.stem}", total=len(asked)) as tracker:
        tracker.advance(sum(map(len, batches[:done])))
        for number in range(done, len(batches)):
            started = time.monotonic()
            completions = engine.complete([e.prompt for e in batches[number]], section.sampling, seed + number)
            seconds = (time.monotonic() - started) / len(completions)
            _append(path, _rows(batches[number], completions, seconds))
            tracker.advance(len(completions))


def _rows(batch: Sequence[Example], completions: Sequence[Completion], seconds: float) -> Iterator[dict[str, Any]]:
    for example, completion in zip(batch, completions, strict=True):
        answer = Answer(
            id=example.id,
            messages=[message.as_chat() for message in example.prompt],
            reference=example.reference,
            answer=completion.text,
            stop_reason=completion.stop_reason,
            prompt_tokens=completion.prompt_tokens,
            answer_tokens=completion.answer_tokens,
            seconds=round(seconds, 4),
            prompt_cut=completion.prompt_cut,
        )
        yield asdict(answer)


def _keep_whole_batches(path: Path, batches: Sequence[Sequence[Example]]) -> int:
    """Drop what a crash tore behind the last whole batch; returns how many batches are there."""
    rows = files.read_json_lines(path)
    done = kept = 0
    for batch in batches:
        if [row["id"] for row in rows[kept : kept + len(batch)]] != [example.id for example in batch]:
            break
        done, kept = done + 1, kept + len(batch)
    files.write_json_lines(path, rows[:kept])
    return done


def _append(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    """One write and one fsync for the whole batch."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    with path.open("a", encoding="utf-8") as file:
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
