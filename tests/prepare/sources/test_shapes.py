from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pakar.errors import DataError
from tests.prepare.sources.helpers import json_lines, read, write


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("question", "answer"), ("Questions", "Answers"), ("Question(s)", "Answer(s)"),
        ("prompt", "completion"),
        ("input", "output"), ("instruction", "response"), ("questionText", "answerText"),
        ("question_text", "answer_text"),
        ("QUESTION", "LONG_ANSWER"), ("Context", "Response"), ("query", "reply"), ("article", "abstract"),
        ("user", "assistant"), ("prompt", "chosen"), ("Frage", "Auskunft"), ("question", "Auskunft"),
    ],
)  # fmt: skip
def test_usual_names_and_else_the_content_tell_question_and_answer(tmp_path: Path, question: str, answer: str) -> None:
    rows = [
        {"id": str(n), question: f"What is thing number {n}?", answer: f"A thing that has the number {n}, as said."}
        for n in range(4)
    ]
    found = read(write(tmp_path / "a.jsonl", json_lines(*rows)))
    assert found.pairs == [(row[question], row[answer]) for row in rows]


def test_numbers_can_be_answers(tmp_path: Path) -> None:
    rows = [{"id": n, "question": f"What is {n} + 1?", "answer": n + 1} for n in range(3)]
    assert read(write(tmp_path / "a.jsonl", json_lines(*rows))).pairs[0] == ("What is 0 + 1?", "1")


def test_a_context_stands_below_the_question_where_it_is_filled(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Add.", "input": "1 and 2", "output": "3", "system": "Count."},
        {"instruction": "Greet.", "input": "", "output": "Hi", "system": ""},
    ]
    assert read(write(tmp_path / "a.json", json.dumps(rows))).turns == [
        [("system", "Count."), ("user", "Add.\n\n1 and 2"), ("assistant", "3")],
        [("user", "Greet."), ("assistant", "Hi")],
    ]


def test_the_title_stands_in_for_an_empty_question(tmp_path: Path) -> None:
    text = (
        "questionTitle,questionText,answerText\nTitle one,Text one?,A\nTitle two,,B\nTitle three,<p><br></p>,C\n,,D\n"
    )
    assert [question for question, _ in read(write(tmp_path / "a.csv", text)).pairs] == [
        "Text one?",
        "Title two",
        "Title three",
        "",
    ]


def test_empty_questions_and_answers_are_left_to_the_cleaning(tmp_path: Path) -> None:
    found = read(write(tmp_path / "a.csv", "question,answer\nWhy?,\n,Because\n"))
    assert found.pairs == [("Why?", ""), ("", "Because")]
    assert found.reasons == []


def _conversations(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"conversations": [{"from": speaker, "value": text} for speaker, text in pairs]}


def test_sharegpt_speakers_become_roles(tmp_path: Path) -> None:
    row = _conversations(
        ("system", "Be kind."), ("human", "Hi"), ("function_call", "f()"), ("observation", "3"), ("gpt", "It is 3.")
    )
    assert read(write(tmp_path / "a.jsonl", json_lines(row))).turns == [
        [("system", "Be kind."), ("user", "Hi"), ("assistant", "f()"), ("user", "3"), ("assistant", "It is 3.")]
    ]


def test_one_conversation_alone_in_a_file_is_a_record(tmp_path: Path) -> None:
    assert (
        len(read(write(tmp_path / "a.json", json.dumps(_conversations(("human", "Hi"), ("gpt", "Hello"))))).kept) == 1
    )


@pytest.mark.parametrize(
    "content",
    [
        "So.",
        [{"type": "text", "text": "So."}],
        [{"type": "text", "value": "So."}],
        [{"type": "reasoning", "value": "Hm."}, {"type": "text", "value": "So."}],
    ],
)
def test_typed_parts_are_joined(tmp_path: Path, content: Any) -> None:
    row = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": content}]}
    assert read(write(tmp_path / "a.jsonl", json_lines(row))).pairs == [("Why?", "So.")]


def test_turns_of_one_speaker_become_one(tmp_path: Path) -> None:
    row = _conversations(("system", ""), ("human", "Hi"), ("human", "There?"), ("gpt", "Yes"), ("gpt", "Hello"))
    assert read(write(tmp_path / "a.jsonl", json_lines(row))).turns == [
        [("user", "Hi\n\nThere?"), ("assistant", "Yes\n\nHello")]
    ]


def test_broken_conversations_are_rejected_with_a_reason(tmp_path: Path) -> None:
    good = ("human", "Hi"), ("gpt", "Hello")
    rows = [
        _conversations(*good),
        _conversations(("gpt", "Hello"), *good),
        _conversations(("human", "Hi")),
        _conversations(("alien", "Hi"), ("gpt", "Hello")),
        _conversations(("human", "Hi"), ("gpt", " ")),
        {"conversations": []},
        {"conversations": None},
        _conversations(*good, ("system", "Be kind."), *good),
        {"conversations": ["Hi", "Hello"]},
        {
            "conversations": [
                {"from": "human", "value": [{"type": "image", "url": "x"}]},
                {"from": "gpt", "value": "Nice"},
            ]
        },
        _conversations(*good),
    ]
    found = read(write(tmp_path / "a.jsonl", json_lines(*rows)))
    assert found.kept["offset"].to_list() == [1, 11]
    assert found.reasons == [
        (2, "missing_turns"), (3, "no_answer"), (4, "unknown_role"), (5, "empty_message"), (6, "missing_turns"),
        (7, "missing_turns"), (8, "missing_turns"), (9, "unsupported_content"), (10, "unsupported_content"),
    ]  # fmt: skip


@pytest.mark.parametrize("chosen", ["Yes", {"from": "gpt", "value": "Yes"}, [{"role": "assistant", "content": "Yes"}]])
def test_the_preferred_answer_ends_the_conversation(tmp_path: Path, chosen: Any) -> None:
    row = {**_conversations(("human", "Is it?")), "chosen": chosen, "rejected": "No"}
    assert read(write(tmp_path / "a.jsonl", json_lines(row))).pairs == [("Is it?", "Yes")]


def test_messages_written_as_text_in_a_table_are_opened(tmp_path: Path) -> None:
    text = "id,conversations\n1,\"[{'from': 'human', 'value': 'Hi'}, {'from': 'gpt', 'value': 'Hello'}]\"\n"
    text += '2,"[{""from"": ""human"", ""value"": ""Hi""}, {""from"": ""gpt"", ""value"": ""Hello""}]"\n'
    assert read(write(tmp_path / "a.csv", text)).pairs == [("Hi", "Hello")] * 2


def test_intents_pair_every_pattern_with_every_response(tmp_path: Path) -> None:
    intents = [
        {"tag": "hello", "patterns": ["Hi", "Hey"], "responses": ["Hello", "Good day"]},
        {"tag": "mute", "patterns": ["Psst"], "responses": []},
        {"tag": "lost", "patterns": [], "responses": ["What?"]},
        {"tag": "odd", "patterns": ["", {"a": 1}], "responses": ["Yes"]},
    ]
    found = read(write(tmp_path / "a.json", json.dumps({"intents": intents})))
    assert found.pairs == [("Hi", "Hello"), ("Hi", "Good day"), ("Hey", "Hello"), ("Hey", "Good day"), ("", "Yes")]
    assert found.kept["offset"].to_list() == [1, 1, 1, 1, 4]
    assert found.kept["part"].to_list() == [1, 2, 3, 4, 1]
    assert found.kept["group"].unique(maintain_order=True).to_list() == ["intent:hello", "intent:odd"]
    assert found.reasons == [(2, "no_responses"), (3, "no_patterns"), (4, "not_text")]


def test_a_missing_column_names_the_nearest_and_all_others(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "Questions,Answers\nWhy?,So.\n")
    with pytest.raises(DataError, match=r"no column 'questions'; it has Questions, Answers") as caught:
        read(path, shape={"kind": "pairs", "question": "questions", "answer": "Answers"})
    assert caught.value.next_step == "write `question: Questions`."


def test_a_key_that_turns_up_late_is_found(tmp_path: Path) -> None:
    rows = [*[{"question": "Why?", "answer": "So."}] * 1500, {"question": "", "title": "How?", "answer": "Thus."}]
    shape = {"kind": "pairs", "question": "question", "answer": "answer", "fallback": "title"}
    assert read(write(tmp_path / "a.jsonl", json_lines(*rows)), shape=shape).pairs[-1] == ("How?", "Thus.")


def test_an_unclear_shape_shows_the_columns_and_what_to_write(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "left,right\nsome words that say nothing,other words of the same kind\n" * 1)
    with pytest.raises(DataError, match="not clear which columns") as caught:
        read(path)
    assert "left: some words that say nothing" in caught.value.what
    assert "{kind: pairs, question: " in caught.value.next_step


def test_a_column_of_running_text_is_text(tmp_path: Path) -> None:
    rows = [{"id": n, "label": "a", "words": f"This is running text number {n}."} for n in range(4)]
    assert read(write(tmp_path / "a.jsonl", json_lines(*rows))).texts == [row["words"] for row in rows]


def test_questions_without_answers_are_refused(tmp_path: Path) -> None:
    rows = [{"id": n, "q": f"What is the thing number {n}?"} for n in range(4)]
    with pytest.raises(DataError, match="not clear which columns"):
        read(write(tmp_path / "a.jsonl", json_lines(*rows)))


def test_the_source_is_the_files_name(tmp_path: Path) -> None:
    found = read(write(tmp_path / "faq.csv", "question,answer\nWhy?,So.\n"))
    assert found.kept["source"].to_list() == ["faq.csv"]
    assert found.kept["group"].to_list() == [None]
