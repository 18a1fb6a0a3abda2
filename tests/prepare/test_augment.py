from __future__ import annotations

import polars as pl
import pytest

from pakar import examples, text
from pakar.prepare.augment import rephrase, rephrasings
from pakar.recipe import Rephrase


def rows(*questions: str) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"id": q, "group": text.fingerprint(text.key(q)), "source": "s", "offset": 1, "part": 0, "augmented": False}
            | {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": "So."}]}
            for q in questions
        ],
        schema=examples.SCHEMA,
    )


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How can I sleep better?", "What are ways to sleep better?"),
        ("how do i calm down?", "How exactly can I calm down?"),
        ("What are common signs of stress?", "Could you explain what common signs of stress are?"),
        ("Why do I wake up early?", "Could you explain why I wake up early?"),
        ("Is it normal to cry?", "Could you tell me whether it is normal to cry?"),
        ("Can stress make me sick?", "Please tell me, can stress make me sick?"),
    ],
)
def test_questions_are_rephrased_by_rule(question: str, expected: str) -> None:
    assert expected in list(rephrasings(question))


@pytest.mark.parametrize("question", ["My friend is sad. What can I say?", "Sleep", "How can I sleep? I am tired.", ""])
def test_where_no_rule_fits_nothing_is_made(question: str) -> None:
    assert list(rephrasings(question)) == []


def test_answers_stay_and_copies_are_limited() -> None:
    made = rephrase(rows("How can I sleep better?"), Rephrase(copies=2), set(), seed=1)
    assert len(made) == 2
    assert {messages[-1].content for _, messages in made} == {"So."}
    assert {parent for parent, _ in made} == {"How can I sleep better?"}


def test_a_question_asked_anywhere_in_the_data_is_not_made_again() -> None:
    asked = {text.fingerprint(text.key(q)) for q in rephrasings("How can I sleep better?")}
    assert rephrase(rows("How can I sleep better?"), Rephrase(copies=6), asked, seed=1) == []


def test_two_rows_never_make_the_same_question() -> None:
    made = rephrase(rows("How can I sleep?", "How do I sleep?"), Rephrase(copies=6), set(), seed=1)
    questions = [text.key(messages[0].content) for _, messages in made]
    assert len(questions) == len(set(questions))
