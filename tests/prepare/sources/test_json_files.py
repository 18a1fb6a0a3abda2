from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pakar.errors import DataError
from pakar.prepare.sources.json_files import read_json
from pakar.prepare.sources.rows import Row
from tests.prepare.sources.helpers import json_lines, read, write

ONE = {"question": "Why?", "answer": "So."}
TWO = {"question": "How?", "answer": "Thus."}
PAIRS = [("Why?", "So."), ("How?", "Thus.")]


@pytest.mark.parametrize(
    "value",
    [
        [ONE, TWO],
        {"data": [ONE, TWO]},
        {"version": 1, "rows": [ONE, TWO]},
        {"a": ONE, "b": TWO},
        {"question": ["Why?", "How?"], "answer": ["So.", "Thus."]},
        {"question": {"0": "Why?", "1": "How?"}, "answer": {"0": "So.", "1": "Thus."}},
        {"result": {"items": [ONE, TWO]}},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_layouts_of_json(tmp_path: Path, value: Any, indent: int | None) -> None:
    found = read(write(tmp_path / "a.json", json.dumps(value, indent=indent)))
    assert found.pairs == PAIRS
    assert found.kept["offset"].to_list() == [1, 2]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt", "a"])
def test_json_lines_are_recognised_under_any_name(tmp_path: Path, name: str) -> None:
    assert read(write(tmp_path / name, json_lines(ONE, TWO))).pairs == PAIRS


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize(
    "text",
    [
        json.dumps([ONE, TWO], indent=1),
        json.dumps(ONE, indent=2) + "\n" + json.dumps(TWO, indent=2),
        json.dumps([ONE, TWO]),
    ],
)
def test_json_is_recognised_under_the_name_of_json_lines(tmp_path: Path, name: str, text: str) -> None:
    assert read(write(tmp_path / name, text)).pairs == PAIRS


def test_objects_without_separator_are_read(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.json", json.dumps(ONE) + json.dumps(TWO))).pairs == PAIRS


def test_bad_lines_are_rejected_with_their_number(tmp_path: Path) -> None:
    text = json.dumps(ONE) + "\r\n\r\n{broken\n[1, 2]\n" + json.dumps(TWO) + '\n{"question": "cut o'
    found = read(write(tmp_path / "a.jsonl", text))
    assert found.pairs == PAIRS
    assert found.kept["offset"].to_list() == [1, 5]
    assert found.reasons == [(3, "unreadable_json"), (4, "not_an_object"), (6, "unreadable_json")]
    assert found.rejected["detail"][0].startswith("line 3, column 2")
    assert found.rejected["text"][0] == "{broken\n"


def test_a_first_bad_line_does_not_change_the_format(tmp_path: Path) -> None:
    found = read(write(tmp_path / "a.jsonl", "{oops\n" + json_lines(ONE, TWO)))
    assert found.pairs == PAIRS
    assert found.reasons == [(1, "unreadable_json")]


def test_a_cut_array_says_where_and_after_how_many_records(tmp_path: Path) -> None:
    whole = json.dumps([ONE, TWO, ONE], indent=1)
    with pytest.raises(
        DataError, match=r"ends too early at line 11, column \d+ .*2 complete records before it"
    ) as caught:
        read(write(tmp_path / "a.json", whole[:-25]))
    assert caught.value.exit_code == 4


def test_an_error_inside_an_array_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no valid JSON at line 2, column 1 .*1 complete record before it"):
        read(write(tmp_path / "a.json", json.dumps([ONE])[:-1] + "\n" + json.dumps(TWO) + "]"))


def test_elements_that_are_no_objects_are_rejected(tmp_path: Path) -> None:
    found = read(write(tmp_path / "a.json", json.dumps([ONE, "text", 3, None, [1], TWO])))
    assert found.pairs == PAIRS
    assert found.reasons == [(n, "not_an_object") for n in (2, 3, 4, 5)]


def test_a_file_without_any_object_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no readable record"):
        read(write(tmp_path / "a.json", "[1, 2]"))


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ({"train": [ONE], "test": [TWO]}, "train, test"),
        ({"data": [ONE] * 20, "more": [TWO] * 10}, "data, more"),
        ({"result": {"items": [ONE], "errors": [TWO, "text"]}}, "items, errors"),
        ({"messages": [{"role": "user", "content": "Why?"}], "tools": [ONE]}, "messages, tools"),
    ],
)
def test_several_lists_are_refused(tmp_path: Path, value: Any, names: str) -> None:
    with pytest.raises(DataError, match=f"several lists of records: {names}\n") as caught:
        read(write(tmp_path / "a.json", json.dumps(value)))
    assert "a file of its own" in str(caught.value)


def test_a_list_of_plain_values_beside_the_records_is_no_second_list(tmp_path: Path) -> None:
    value = {"versions": ["1.0", 2], "data": [ONE, TWO], "empty": []}
    assert read(write(tmp_path / "a.json", json.dumps(value))).pairs == PAIRS


def test_columns_of_unequal_length_are_refused(tmp_path: Path) -> None:
    value = {"question": ["Why?", "How?"], "answer": ["So."]}
    with pytest.raises(DataError, match=r"columns differ in length: question 2, answer 1\n") as caught:
        read(write(tmp_path / "a.json", json.dumps(value)))
    assert "one value for each row" in str(caught.value)


def test_columns_by_position_keep_the_rows_of_every_column(tmp_path: Path) -> None:
    value = {"question": {"0": "Why?"}, "answer": {"0": "So.", "1": "Thus."}, "note": {"0": "a", "2": "b"}}
    assert read(write(tmp_path / "a.json", json.dumps(value))).pairs == [("Why?", "So."), ("", "Thus."), ("", "")]


def test_one_conversation_beside_a_list_is_one_record(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    found = read(write(tmp_path / "a.json", json.dumps({"messages": turns, "tags": ["a"]})))
    assert found.turns == [[("user", "Why?"), ("assistant", "So.")]]


def test_records_by_key_keep_a_key_of_their_own(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", json.dumps({"a": ONE | {"key": "own"}, "b": TWO}))
    assert [row.values for row in read_json(path, "utf-8") if isinstance(row, Row)] == [
        {"record_key": "a", "key": "own"} | ONE,
        {"record_key": "b"} | TWO,
    ]
    assert read(path).pairs == PAIRS


def test_values_of_other_types_become_text(tmp_path: Path) -> None:
    rows = [
        {"question": "Number?", "answer": 42},
        {"question": "Nothing?", "answer": None},
        {"question": "Missing?"},
        {"question": "NaN?", "answer": float("nan")},
        {"question": "Alternatives?", "answer": ["", "first", "second"]},
        {"question": ["Two", "lines?"], "answer": "yes"},
        {"question": "Squad?", "answer": {"text": ["found"], "answer_start": [3]}},
        {"question": "Object?", "answer": {"a": 1}},
        {"question": [{"a": 1}], "answer": "x"},
    ]
    found = read(write(tmp_path / "a.jsonl", json_lines(*rows)))
    assert found.pairs == [
        ("Number?", "42"), ("Nothing?", ""), ("Missing?", ""), ("NaN?", ""), ("Alternatives?", "first"),
        ("Two\nlines?", "yes"), ("Squad?", "found"),
    ]  # fmt: skip
    assert found.reasons == [(8, "not_text"), (9, "not_text")]
    assert "column answer" in found.rejected["detail"][0]


def test_half_a_surrogate_pair_is_replaced(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.jsonl", '{"question": "Smile \\ud83d?", "answer": "\\ud83d\\ude00"}\n')).pairs == [
        ("Smile \ufffd?", "😀")
    ]


def test_deeply_nested_json_is_rejected_and_does_not_crash(tmp_path: Path) -> None:
    found = read(write(tmp_path / "a.jsonl", json_lines(ONE) + "[" * 100_000 + "\n" + json_lines(TWO)))
    assert found.pairs == PAIRS
    assert found.reasons == [(2, "unreadable_json")]
