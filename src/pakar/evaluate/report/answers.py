"""The answers of all systems side by side, and how long they are."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pakar import files, text
from pakar.evaluate.report.content import Answer, Lengths, Question
from pakar.run import Run

MOST_SHOWN = 40
"""Questions that a report shows; all of them are in the run directory."""
LONGEST_ANSWER = 1200
LONGEST_TURN = 800
"""Characters that are shown of one text."""
MOST_TURNS = 6


def questions(run: Run, systems: Sequence[str]) -> list[Question]:
    """All answered test questions, in the order in which the evaluation drew them."""
    answered = {system: files.read_json_lines(run.answers_file(system)) for system in systems}
    by_id = {system: {row["id"]: row for row in rows} for system, rows in answered.items()}
    words = {system: _words(run, system) for system in systems}
    identities = dict.fromkeys(row["id"] for rows in answered.values() for row in rows)
    return [_question(identity, by_id, words) for identity in identities]


def shortened(question: Question) -> Question:
    """The question with every text cut to what a page can carry; counted words stay those of the whole text."""
    turns = tuple((role, _cut(content, LONGEST_TURN)) for role, content in question.turns[-MOST_TURNS:])
    return replace(
        question, turns=turns, answers=tuple(replace(a, text=_cut(a.text, LONGEST_ANSWER)) for a in question.answers)
    )


def lengths(asked: Sequence[Question], target: tuple[int, int]) -> tuple[Lengths, ...]:
    """Words per answer, for the reference answers and each system."""
    systems = dict.fromkeys(answer.system for question in asked for answer in question.answers)
    return tuple(
        _lengths(system, [a.words for q in asked for a in q.answers if a.system == system], target)
        for system in systems
    )


def _words(run: Run, system: str) -> dict[str, int]:
    """Counted words by example, where the scores hold them."""
    scores = files.read_json_lines(run.scores_file(system))
    return {row["id"]: int(row["words"]) for row in scores if row.get("words") is not None}


def _question(
    identity: str, by_id: Mapping[str, Mapping[str, Any]], words: Mapping[str, Mapping[str, int]]
) -> Question:
    rows = {system: found[identity] for system, found in by_id.items() if identity in found}
    first = next(iter(rows.values()))
    reference = str(first.get("reference") or "")
    answers = [Answer("reference", reference, len(text.words(reference)), None)] if reference else []
    for system, row in rows.items():
        answer = str(row.get("answer") or "")
        counted = words[system].get(identity, len(text.words(answer)))
        answers.append(Answer(system, answer, counted, row.get("stop_reason") != "length"))
    turns = tuple((str(m["role"]), str(m["content"])) for m in first.get("messages") or [])
    if turns and reference and turns[-1] == ("assistant", reference):
        turns = turns[:-1]
    return Question(identity, turns, tuple(answers))


def _lengths(system: str, words: Sequence[int], target: tuple[int, int]) -> Lengths:
    inside = sum(target[0] <= number <= target[1] for number in words)
    return Lengths(system, tuple(words), float(statistics.median(words)), inside / len(words))


def _cut(content: str, limit: int) -> str:
    return content if len(content) <= limit else content[: limit - 1].rstrip() + "…"
