from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pakar.prepare import near_duplicates
from pakar.prepare.near_duplicates import SCHEME, add_bands, find, stored_keys
from tests.prepare.near_duplicates.helpers import (
    conversations,
    keys,
    named,
    pair,
    search,
    texts,
    with_changes,
    word_list,
)
from tests.prepare.sources.helpers import read, shared


def neighbourhood(seed: int) -> pl.DataFrame:
    """Rows of all kinds: near copies at several distances, chains, templates, short ones."""
    base = [word_list(seed + part, 100) for part in range(4)]
    near = [" ".join(with_changes(words, changes)) for words in base for changes in (0, 1, 2, 3, 5, 8)]
    chain = [" ".join(base[0][start : start + 60]) for start in range(0, 40, 3)]
    short = ["Yes.", "yes", "No.", "Call a doctor.", "call a doctor!", "", " ", "!"]
    return texts(*near, *chain, *short)


def test_near_copies_go_and_others_stay() -> None:
    words = word_list(0, 100)
    copy, other = " ".join(with_changes(words, 1)), " ".join(with_changes(words, 5))
    rows = texts(" ".join(words), copy + " indeed", other)
    found = search(rows)
    ids = rows["id"].to_list()
    assert found.dropped == {ids[0]: (ids[1], 91 / 102)}  # of 96 shingles 91 are left, and 6 are new
    assert found.group[ids[0]] == found.group[ids[1]] == ids[1]
    assert found.group[ids[2]] == ids[2]


def test_the_longest_stays_and_of_equally_long_ones_the_smallest_id() -> None:
    rows = texts("One two three four five six!", "one two three four five six", "ONE, two, three, four five six")
    assert set(search(rows).dropped) == set(rows["id"]) - {min(rows["id"])}


def test_the_far_end_of_a_chain_stays_in_the_group() -> None:
    words = word_list(3, 114)
    rows = texts(*(" ".join(words[start : start + length]) for start, length in ((0, 102), (7, 101), (14, 100))))
    first, middle, last = rows["id"].to_list()
    found = search(rows)
    assert set(found.dropped) == {middle}
    assert found.group == dict.fromkeys((first, middle, last), first)


def test_one_paragraph_with_different_questions_and_answers_is_no_near_duplicate() -> None:
    paragraph = " ".join(word_list(1, 150))
    rows = conversations(pair(f"{paragraph} Who?", "Napoleon"), pair(f"{paragraph} When?", "in 1804"))
    assert not search(rows).dropped
    assert search(rows, SCHEME._replace(answer_threshold=0)).dropped


def test_a_question_threshold_keeps_different_questions_with_the_same_answer() -> None:
    answer = " ".join(word_list(2, 100))
    rows = conversations(pair("Is asthma inherited?", answer), pair("Is gout inherited?", answer))
    assert search(rows).dropped
    assert not search(rows, SCHEME._replace(question_threshold=0.5)).dropped


def test_a_common_system_prompt_makes_nothing_alike() -> None:
    prompt = ("system", " ".join(word_list(4, 300)))
    rows = conversations(*([prompt, *pair(f"question {n} on {n}?", f"answer {n} of {n}")] for n in range(50)))
    assert not search(rows).dropped


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 3), st.randoms(use_true_random=False))
def test_neither_order_nor_batches_matter(seed: int, random: Random) -> None:
    rows = neighbourhood(seed)
    expected = search(rows)
    order = list(range(len(rows)))
    random.shuffle(order)
    shuffled = rows[order]
    cut = random.randrange(len(rows))
    columns = pl.concat([add_bands(shuffled[:cut]), add_bands(shuffled[cut:])])
    assert named(shuffled, columns) == expected
    assert expected.dropped


def test_comparing_early_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = neighbourhood(0)
    expected = search(rows)
    module = sys.modules["pakar.prepare.near_duplicates.find"]
    monkeypatch.setattr(module, "WAITING", 3)
    monkeypatch.setattr(module, "FETCHED", 200)
    found = search(rows)
    assert found._replace(compared=expected.compared) == expected


def test_thousands_of_equal_texts_leave_one() -> None:
    rows = texts(*("Please" + "!" * n + " call your doctor today" + "." * n for n in range(3000)))
    found = search(rows)
    assert len(found.dropped) == 2999
    assert found.compared < 3000 * 6


def test_nothing_and_a_single_row() -> None:
    assert search(texts("one")).dropped == {}
    empty = texts("one").clear()
    assert search(empty).group == {}
    assert add_bands(empty).schema == add_bands(texts("one")).schema


def test_equal_ids_are_refused() -> None:
    rows = add_bands(pl.concat([texts("one"), texts("one")]))
    with pytest.raises(ValueError, match="ids"):
        find(keys(rows))


def test_columns_may_lie_in_files(tmp_path: Path) -> None:
    rows = neighbourhood(1)
    columns = add_bands(rows)
    paths = [tmp_path / f"{number}.parquet" for number in range(4)]
    for path, part in zip(paths, (columns[:0], columns[:5], columns[5:20], columns[20:]), strict=True):
        part.write_parquet(path)
    inside, outside = find(keys(columns)), find(stored_keys(paths))
    assert inside.dropped.tolist() == outside.dropped.tolist() != []
    assert inside.kept.tolist() == outside.kept.tolist()
    assert inside.group.tolist() == outside.group.tolist()


def test_near_repeats_among_web_texts() -> None:
    path = shared("data_juicer_demo/demo-dataset-deduplication.jsonl")
    contents = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
    rows = texts(*contents)
    places = {messages[0]["content"]: place for place, messages in enumerate(rows["messages"].to_list())}
    found = search(rows)
    by_id = dict(zip(rows["id"], places.values(), strict=True))
    repeats = {frozenset((by_id[gone], by_id[kept])) for gone, (kept, _) in found.dropped.items()}
    assert repeats == {frozenset((7, 8)), frozenset((9, 10)), frozenset((11, 12))}  # the fourth repeat is exact
    assert min(similarity for _, similarity in found.dropped.values()) > 0.97


def test_templated_questions_with_different_answers_stay() -> None:
    records = read(shared("medquad/medquad.jsonl.gz"))
    rows = conversations(*(pair(question, answer) for question, answer in records.pairs))
    found = search(rows)
    answers = {row["id"]: set(row["messages"][1]["content"].lower().split()) for row in rows.iter_rows(named=True)}
    assert 0 < len(found.dropped) < 0.03 * len(rows)
    for gone, (kept, _) in found.dropped.items():
        shared_words = answers[gone] & answers[kept]
        assert len(shared_words) / len(answers[gone] | answers[kept]) > 0.6


def test_the_package_says_what_it_offers() -> None:
    assert set(near_duplicates.__all__) >= {"add_bands", "find"}
