from __future__ import annotations

import numpy as np
import polars as pl

from pakar.examples import MESSAGES
from pakar.prepare.near_duplicates.topics import TOPICS, add_topics, apart

ANSWER = (
    "{0} spreads through the air. Most people who have {0} feel better within a week, if they rest and drink enough."
)


def told_apart(*pairs: tuple[str, str]) -> bool:
    rows = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in pairs]
    batch = add_topics(pl.DataFrame({"messages": rows}, schema={"messages": MESSAGES}))
    return bool(apart(lambda column, some: batch[column].gather(some), np.array([0]), np.array([1]))[0])


def about(topic: str) -> tuple[str, str]:
    return f"How does {topic} spread?", ANSWER.format(topic.capitalize())


def test_the_topics_of_a_row_are_words_of_its_question_and_its_answer() -> None:
    question, answer = about("mumps")
    messages = [[{"role": "user", "content": question}, {"role": "assistant", "content": answer}]]
    rows = pl.DataFrame({"messages": messages}, schema={"messages": MESSAGES})
    assert add_topics(rows)[TOPICS].to_list() == [["mumps"]]


def test_one_template_about_two_things_is_no_near_duplicate() -> None:
    assert told_apart(about("mumps"), about("measles"))


def test_two_versions_of_one_text_are_about_the_same_thing() -> None:
    question, answer = about("mumps")
    assert not told_apart((question, answer), (question, answer.replace("week", "month")))
    assert not told_apart((question.replace("mumps", "it"), answer), (question, answer.replace("rest", "sleep")))
    assert not told_apart(("How does measles spread?", answer), (question, answer))
    assert not told_apart((question, answer), (question.upper(), answer + " Ask a doctor if it lasts."))


def test_one_answer_may_serve_different_questions() -> None:
    answer = ANSWER.format("It")
    assert told_apart(("I feel so sad", answer), ("why is everyone against me", answer))
    assert not told_apart(("I feel so sad", answer), ("I feel very sad", answer))
    assert not told_apart(("How can I sleep better?", answer), ("How can I sleep better at night?", answer))
