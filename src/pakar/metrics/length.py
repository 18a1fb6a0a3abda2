"""How long the answers are, and how they end. Words are counted in the model's text, before anything is put to it."""

from __future__ import annotations

from pakar import text
from pakar.metrics.metric import Answer, AnswerColumn, Metric
from pakar.recipe import Evaluate

WORD_DEFINITION = "letters and digits of any script; an apostrophe or hyphen inside a word does not part it"


def _words(answer: Answer, _: Evaluate) -> int:
    return len(text.words(answer.answer))


def _in_target(answer: Answer, section: Evaluate) -> bool:
    shortest, longest = section.target_words
    return shortest <= len(text.words(answer.answer)) <= longest


def _ended(answer: Answer, _: Evaluate) -> bool:
    return answer.stop_reason == "end"


def _empty(answer: Answer, _: Evaluate) -> bool:
    return not answer.answer.strip()


COLUMNS: dict[str, AnswerColumn] = {"words": _words, "in_target": _in_target, "ended": _ended, "empty": _empty}

METRICS = (
    Metric("answer_words", "words", None, "words"),
    Metric("in_target_length", "share", True, "in_target"),
    Metric("ended_by_itself", "share", True, "ended"),
    Metric("empty", "share", False, "empty"),
)
