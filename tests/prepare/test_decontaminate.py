from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pakar.prepare.frames import RECORDS, REJECTED
from pakar.prepare.operators.decontaminate import benchmark_hashes, decontaminate

QUESTION = "What should somebody do first who has been stung by a bee and feels faint?"
ANSWER = "Call the emergency number at once, lie down, and use an adrenaline pen if there is one."
LONG = " ".join(f"word{number}" for number in range(40))


def batch(*conversations: list[tuple[str, str]]) -> pl.DataFrame:
    rows = [
        {"source": "s", "offset": n + 1, "part": 0, "group": None}
        | {"messages": [{"role": role, "content": words} for role, words in turns]}
        for n, turns in enumerate(conversations)
    ]
    return pl.DataFrame(rows, schema=RECORDS)


def told(*contents: str) -> pl.DataFrame:
    return batch(*([("text", content)] for content in contents))


def pair(question: str, answer: str) -> list[tuple[str, str]]:
    return [("user", question), ("assistant", answer)]


def contaminated(row: pl.DataFrame, benchmark: pl.DataFrame) -> bool:
    return len(decontaminate(row, {"bench": benchmark_hashes([benchmark])}).rejected) == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("A text before. " + " ".join(LONG.split()[10:23]) + " and after it", True),  # 13 words in a row
        ("A text before. " + " ".join(LONG.split()[10:22]) + " and after it", False),  # 12 words
        (LONG.upper().replace(" ", ", "), True),
        (" ".join(LONG.split()[::-1]), False),
    ],
)
def test_thirteen_words_in_a_row(content: str, expected: bool) -> None:
    assert contaminated(told(content), told(LONG)) is expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [(7, False), (8, True), (12, True)],
)
def test_short_messages_must_be_equal_and_not_too_short(words: int, expected: bool) -> None:
    question = " ".join(LONG.split()[:words])
    row = batch(pair(question + "?", "Ask somebody who has learnt it for many years, please, and listen."))
    assert contaminated(row, batch(pair(question, "Nobody knows."))) is expected
    assert not contaminated(batch(pair(question + " then?", "Ask somebody.")), batch(pair(question, "Nobody knows.")))


def test_short_questions_with_their_answers_count_as_one() -> None:
    benchmark = batch(pair("Is asthma inherited?", "Yes, it runs in families, partly."))
    assert contaminated(batch(pair("is Asthma inherited", "yes it runs in families partly")), benchmark)
    assert not contaminated(batch(pair("Is asthma inherited?", "Yes.")), benchmark)


def test_system_messages_do_not_count() -> None:
    row = batch([("system", LONG), *pair("How are you?", "Well.")])
    assert not contaminated(row, told(LONG))
    assert not contaminated(told(LONG), row)


def test_rows_are_counted_and_the_benchmark_is_named() -> None:
    rows = batch(pair(QUESTION, ANSWER), pair("What is asthma?", "A disease of the lungs."), pair("A", LONG))
    benchmarks = {
        "first aid*.jsonl": benchmark_hashes([batch(pair(QUESTION, "Whatever."))]),
        "^w$": benchmark_hashes([told("nothing"), told(LONG + " " + QUESTION)]),
        "empty": benchmark_hashes([]),
    }
    kept, rejected = decontaminate(rows, benchmarks)
    assert kept.schema == RECORDS
    assert rejected.schema == REJECTED
    assert kept["offset"].to_list() == [2]
    assert rejected["offset"].to_list() == [1, 3]
    assert set(rejected["reason"]) == {"contaminated"}
    assert rejected["detail"].to_list() == [
        "3 of its word sequences stand in first aid*.jsonl; 3 of its word sequences stand in ^w$",
        "28 of its word sequences stand in ^w$",
    ]


def test_nothing_to_compare_keeps_everything() -> None:
    rows = batch(pair(QUESTION, ANSWER))
    assert decontaminate(rows, {}).kept.equals(rows)
    assert decontaminate(rows, {"empty": benchmark_hashes([rows.clear()])}).kept.equals(rows)
    assert len(decontaminate(rows.clear(), {"b": benchmark_hashes([rows])}).kept) == 0
    assert len(decontaminate(batch([], [("system", "s")]), {"b": benchmark_hashes([rows])}).kept) == 2


def test_scripts_without_spaces_are_compared_by_character() -> None:
    benchmark = told("被蜜蜂蜇伤后感到头晕的人应该首先做什么")
    assert contaminated(told("请问：被蜜蜂蜇伤后，感到头晕的人应该怎么办？"), benchmark)
    assert not contaminated(told("被蜜蜂蜇伤后怎么办"), benchmark)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(st.sampled_from("ab"), min_size=5, max_size=16).map(" ".join), max_size=6), st.integers(0, 6))
def test_batches_may_be_cut_anywhere(contents: list[str], cut: int) -> None:
    rows, benchmark = told(*contents), told("a b a b a b a b a b a b a", "b b b b b b b b", "a b")
    known = {"b": benchmark_hashes([benchmark])}
    assert np.array_equal(known["b"], benchmark_hashes([benchmark[1:], benchmark[:1]]))
    whole, parts = decontaminate(rows, known), [decontaminate(rows[:cut], known), decontaminate(rows[cut:], known)]
    assert whole.kept.equals(pl.concat([part.kept for part in parts]))
    assert whole.rejected.equals(pl.concat([part.rejected for part in parts]))
