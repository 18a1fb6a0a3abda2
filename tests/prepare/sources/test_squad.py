from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pakar.prepare.sources.reading import resolve
from pakar.recipe import Source, SquadShape
from tests.prepare.sources.helpers import json_lines, read, shared, write

LAKE = {
    "context": "The lake is deep.",
    "qas": [
        {
            "id": "a",
            "question": "How is the lake?",
            "answers": [{"text": "deep", "answer_start": 12}, {"text": "very"}],
        },
        {"id": "b", "question": "Who owns it?", "answers": [], "is_impossible": True},
    ],
}
HILL: dict[str, Any] = {
    "context": "The hill is low.",
    "qas": [{"question": "How is the hill?", "answers": [{"text": "low", "answer_start": 12}]}],
}


def _file(tmp_path: Path, *articles: list[dict[str, Any]]) -> Path:
    data = [{"title": f"Title {n}", "paragraphs": paragraphs} for n, paragraphs in enumerate(articles)]
    return write(tmp_path / "set.json", json.dumps({"version": "2.0", "data": data}))


def test_the_passage_stands_below_its_question_and_the_first_answer_is_taken(tmp_path: Path) -> None:
    path = _file(tmp_path, [LAKE, HILL])
    assert resolve(Source(path=str(path))).shape == SquadShape()
    assert read(path).pairs == [
        ("How is the lake?\n\nThe lake is deep.", "deep"),
        ("How is the hill?\n\nThe hill is low.", "low"),
    ]


def test_every_question_is_counted_once_with_its_place(tmp_path: Path) -> None:
    found = read(_file(tmp_path, [LAKE, HILL], [HILL]))
    assert found.kept.select("offset", "part").rows() == [(1, 1), (1, 3), (2, 1)]
    assert found.rejected.select("offset", "part", "reason").rows() == [(1, 2, "no_answer")]


def test_questions_of_one_passage_share_a_group(tmp_path: Path) -> None:
    two = {**LAKE, "qas": [LAKE["qas"][0], {"question": "What is deep?", "answers": [{"text": "The lake"}]}]}
    groups = read(_file(tmp_path, [two, HILL])).kept["group"].to_list()
    assert groups[0] == groups[1] != groups[2]


def test_plausible_answers_to_impossible_questions_are_not_learnt(tmp_path: Path) -> None:
    asked = {"question": "Who?", "is_impossible": True, "answers": [{"text": "he"}], "plausible_answers": []}
    assert read(_file(tmp_path, [{"context": "It rains.", "qas": [asked]}, HILL])).reasons == [(1, "no_answer")]


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_paragraphs_can_be_rows_of_their_own(tmp_path: Path, format_: str) -> None:
    path = write(tmp_path / "set.jsonl", json_lines(HILL, HILL))
    if format_ == "parquet":
        path = tmp_path / "set.parquet"
        pl.DataFrame([HILL, HILL]).write_parquet(path)
    assert read(path).pairs == [("How is the hill?\n\nThe hill is low.", "low")] * 2


@pytest.mark.parametrize(
    ("paragraph", "reason"),
    [
        ({"context": "Words.", "qas": []}, "no_questions"),
        ({"context": "Words."}, "no_questions"),
        ("Words.", "no_questions"),
        ({"context": {"a": 1}, "qas": HILL["qas"]}, "not_text"),
        ({"context": "Words.", "qas": [{"question": "Who?"}]}, "no_answer"),
    ],
)
def test_broken_paragraphs_are_rejected_one_by_one(tmp_path: Path, paragraph: Any, reason: str) -> None:
    found = read(_file(tmp_path, [HILL, paragraph]))
    assert len(found.kept) == 1
    assert found.rejected.select("part", "reason").rows() == [(2, reason)]


def test_a_row_of_another_layout_is_rejected_under_a_declared_shape(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", json_lines({"text": "Words."}, HILL))
    assert read(path, shape={"kind": "squad"}).reasons == [(1, "missing_columns")]


@pytest.mark.parametrize("language", ["en", "ru"])
def test_real_files_are_read_whole(language: str) -> None:
    found = read(shared(f"squad_style/xquad.{language}.a.json.gz"))
    assert (len(found.kept), found.reasons) == (632, [])
