from __future__ import annotations

import csv
import re
from pathlib import Path

import polars as pl
import pytest

from pakar import examples, text
from pakar.prepare.augment import Made, rephrased
from pakar.prepare.rephrase import by_rules, rephrasings
from pakar.recipe import Rephrase

EXAMPLE_DATA = Path(__file__).resolve().parents[2] / "recipes" / "data" / "mental-health-faq.csv"
STATEMENTS = ("I would", "I wonder", "Please")


def rephrase(train: pl.DataFrame, section: Rephrase, asked: set[str], seed: int) -> Made:
    return rephrased(train, by_rules, section.copies, asked, seed=seed)


def rows(*questions: str) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "id": q,
                "group": text.fingerprint(text.key(q)),
                "source": "s",
                "offset": 1,
                "part": 0,
                "augmented": False,
                "label": None,
                "flags": [],
            }
            | {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": "So."}]}
            for q in questions
        ],
        schema=examples.SCHEMA,
    )


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How can I sleep better?", "What are ways to sleep better?"),
        ("how do i calm down when i'm angry?", "What can I do to calm down when I'm angry?"),
        ("What are common signs of stress?", "Could you describe common signs of stress?"),
        ("Why do I wake up early?", "Could you explain why I wake up early?"),
        ("Is it normal to cry?", "Could you tell me whether it is normal to cry?"),
        ("Can stress make me sick?", "Please tell me: can stress make me sick?"),
        ("What can I do to sleep?", "Could you tell me what I can do to sleep?"),
        ("What should I do at night?", "What would you suggest I do at night?"),
        (
            "What is the difference between stress and worry?",
            "Can you tell me about the difference between stress and worry?",
        ),
        ("What is a good bedtime routine?", "Could you describe a good bedtime routine?"),
        ("Can you please teach me to relax?", "Please teach me to relax."),
        ("What is grief, and does it pass?", "Could you tell me: what is grief, and does it pass?"),
    ],
)
def test_questions_are_rephrased_by_rule(question: str, expected: str) -> None:
    assert expected in list(rephrasings(question))


@pytest.mark.parametrize(
    "question",
    [
        "what are you doing?",
        "what is wrong with me?",
        "what is good for sleep?",
        "what is a panic attack doing to me?",
        "what are the signs of stress and how do I treat it?",
        "how do I feel?",
        "how do I know if a friendship is unhealthy?",
        "how can I be so stupid?",
        "how can I sleep, and what should I eat?",
        "why do I not sleep?",
        "is it okay to rest, or is it lazy?",
    ],
)
def test_what_no_rule_can_turn_around_is_only_introduced(question: str) -> None:
    introduced = [f"Could you tell me: {question}", f"I would like to know: {question}", f"Please tell me: {question}"]
    assert list(rephrasings(question[0].upper() + question[1:])) == introduced


@pytest.mark.parametrize(
    "question",
    [
        "My friend is sad. What can I say?",
        "Sleep",
        "How can I sleep? I am tired.",
        "",
        "?",
        "How I can sleep?",
        "When I feel sad?",
        "What about my son?",
        "Can you get depression from stress?",
        "Could you tell me: what is grief?",
    ],
)
def test_where_no_rule_fits_nothing_is_made(question: str) -> None:
    assert list(rephrasings(question)) == []


def test_answers_stay_and_copies_are_limited() -> None:
    made = rephrase(rows("How can I sleep better?"), Rephrase(copies=2), set(), seed=1)
    assert len(made) == 2
    assert {messages[-1].content for _, messages in made} == {"So."}
    assert {parent for parent, _ in made} == {"How can I sleep better?"}


def test_rephrasings_of_the_example_data_are_tidy_sentences() -> None:
    with EXAMPLE_DATA.open(encoding="utf-8", newline="") as lines:
        made = [made for row in csv.DictReader(lines) for made in rephrasings(row["question"])]
    assert len(made) > 300
    for sentence in made:
        assert re.fullmatch(r"[A-Z][^.?!{}]+[.?]", sentence), sentence
        assert not re.search(r"\bi\b|  | [.?,]", sentence), sentence
        assert sentence.endswith(".") == sentence.startswith(STATEMENTS) or ": " in sentence, sentence


def test_answers_of_the_example_data_are_short() -> None:
    with EXAMPLE_DATA.open(encoding="utf-8", newline="") as lines:
        lengths = {row["question"]: len(row["answer"].split()) for row in csv.DictReader(lines)}
    assert len(lengths) == 120
    assert [question for question, length in lengths.items() if not 20 <= length <= 60] == []


@pytest.mark.parametrize(
    ("beginning", "named"),
    [
        ("I lost my job", ("crisis line", "local emergency number")),
        ("When should I see a professional", ("crisis line", "local emergency number")),
        ("I am so overwhelmed that I want to hurt myself", ("crisis line", "local emergency number")),
        ("i wake up anxious every morning", ("doctor or counsellor",)),
    ],
)
def test_the_example_data_points_to_help(beginning: str, named: tuple[str, ...]) -> None:
    with EXAMPLE_DATA.open(encoding="utf-8", newline="") as lines:
        answers = [row["answer"] for row in csv.DictReader(lines) if row["question"].startswith(beginning)]
    assert len(answers) == 1
    assert all(words in answers[0] for words in named)


def test_the_order_of_the_rows_decides_nothing() -> None:
    train = rows("How can I sleep?", "How do I sleep?", "How could I sleep?", "Can tea help?")
    assert rephrase(train, Rephrase(copies=2), set(), seed=1) == rephrase(
        train.reverse(), Rephrase(copies=2), set(), seed=1
    )


def test_a_question_asked_anywhere_in_the_data_is_not_made_again() -> None:
    asked = {text.fingerprint(text.key(q)) for q in rephrasings("How can I sleep better?")}
    assert rephrase(rows("How can I sleep better?"), Rephrase(copies=6), asked, seed=1) == []


def test_two_rows_never_make_the_same_question() -> None:
    made = rephrase(rows("How can I sleep?", "How do I sleep?"), Rephrase(copies=6), set(), seed=1)
    questions = [text.key(messages[0].content) for _, messages in made]
    assert len(questions) == len(set(questions))
