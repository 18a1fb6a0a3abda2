from __future__ import annotations

import pytest

from pakar.engine import StopReason
from pakar.evaluate.answers import Answer
from pakar.metrics import ANSWER_COLUMNS
from pakar.recipe import Evaluate


def column(name: str, answer: str, stop_reason: StopReason = "end") -> float:
    section = Evaluate(target_words=(2, 3))
    return ANSWER_COLUMNS[name](Answer("id", [], "reference", answer, stop_reason, 1, 1, 0.1), section)


@pytest.mark.parametrize(("answer", "words"), [("", 0), ("Don't **panic**!", 2), ("سلام عليكم", 2)])
def test_words(answer: str, words: int) -> None:
    assert column("words", answer) == words


@pytest.mark.parametrize(("answer", "inside"), [("one", 0), ("one two", 1), ("one two three", 1), ("a b c d", 0)])
def test_both_ends_of_the_target_belong_to_it(answer: str, inside: int) -> None:
    assert column("in_target", answer) == inside


def test_ended_and_empty() -> None:
    assert column("ended", "yes") == 1
    assert column("ended", "yes and", "length") == 0
    assert column("empty", " \n") == 1
    assert column("empty", "?") == 0
