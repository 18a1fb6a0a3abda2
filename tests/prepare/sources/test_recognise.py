"""What is recognised without being declared, and what the error tells to type where it is not."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from pakar import recipe_file
from pakar.errors import DataError
from pakar.prepare import discover, draft
from tests.prepare.sources.helpers import json_lines, read, write


def _refused(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        read(path)
    return caught.value


@pytest.mark.parametrize(
    "rows",
    [
        [{"id": f"s{n}", "prompts_final": f"What is the thing number {n}?"} for n in range(8)],
        [
            {"id": n, "turns": [f"Write a poem of {n} lines.", "In prose."], "reference": [f"Like so: {n}."]}
            for n in range(8)
        ],
        [{"a b: c": f"Is it said that {n} is odd?", "it's": "x"} for n in range(8)],
    ],
)
def test_the_command_for_prompts_without_answers_works_as_printed(tmp_path: Path, rows: list[Any]) -> None:
    path = write(tmp_path / "the prompts.jsonl", json_lines(*rows))
    command = re.findall(r"`(pakar init [^`]*\{kind: text[^`]*)`", _refused(path).next_step)[-1]
    _, _, file, _, shape = shlex.split(command)
    assert file == str(path)
    assert discover.look(path, recipe_file.shape(shape)).usable == 8


def test_numbered_answers_are_suggested_for_their_prompt(tmp_path: Path) -> None:
    rows = [{"prompt": f"What is the number {n}?", "answer1": "One", "answer2": "Two"} for n in range(4)]
    step = _refused(write(tmp_path / "a.jsonl", json_lines(*rows))).next_step
    assert "{kind: pairs, question: prompt, answer: answer1}" in step


@pytest.mark.parametrize(
    "value",
    [
        {"input_ids": [1, 518, 25580], "labels": [-100, 4, 5]},
        [{"input_ids": list(range(20)), "attention_mask": [1] * 20}] * 3,
        [{"tokens": list(range(20))}] * 3,
    ],
)
def test_token_ids_are_called_by_their_name(tmp_path: Path, value: Any) -> None:
    error = _refused(write(tmp_path / "a.json", json.dumps(value)))
    assert "holds token ids" in error.what
    assert "tokenizer.decode" in error.next_step


def test_an_object_of_named_texts_is_a_table(tmp_path: Path) -> None:
    value = {"greet": "Good morning to you.", "refund": "Send the parcel back.", "bye": "Have a nice day."}
    assert read(write(tmp_path / "a.json", json.dumps(value))).texts == list(value.values())


def test_a_single_record_is_no_object_of_named_texts(tmp_path: Path) -> None:
    value = {"id": "the first one here", "question": "Why is it so?", "answer": "Nobody knows it."}
    assert read(write(tmp_path / "a.json", json.dumps(value))).pairs == [("Why is it so?", "Nobody knows it.")]


def test_records_written_as_columns_are_not_offered_as_columns(tmp_path: Path) -> None:
    value = {f"Case{n}": [f"What is {n} here?", f"It is the number {n}."] for n in range(10)}
    error = _refused(write(tmp_path / "a.json", json.dumps(value)))
    assert "10 lists of 2" in error.what
    assert "list of objects" in error.next_step


def test_sentences_of_conll_are_texts(tmp_path: Path) -> None:
    content = "-DOCSTART- -X- O\n\nThe\tO\nlake\tB-place\n\t\n#nice\tO\n#\tO\n\n\n"
    found = read(write(tmp_path / "a.conll", content))
    assert found.texts == ["The lake", "#nice #"]
    assert found.kept["offset"].to_list() == [3, 6]


def test_sentences_of_universal_dependencies_are_taken_as_written(tmp_path: Path) -> None:
    rest = "\t_" * 8
    tokens = f"1-2\tdont{rest}\n1\tdo{rest}\n2\tnt{rest}\n"
    content = f"# sent_id = 1\n# text = Do you?\n1\tDo{rest}\n2\tyou{rest}\n\n# sent_id = 2\n{tokens}"
    assert read(write(tmp_path / "a.conllu", content)).texts == ["Do you?", "do nt"]


def _labelled(tmp_path: Path, kinds: list[str]) -> discover.Discovery:
    rows = [{"text": f"This is the text number {n}.", "label": kind} for n, kind in enumerate(kinds)]
    return discover.look(write(tmp_path / "a.jsonl", json_lines(*rows)))


def test_a_sure_label_is_drafted(tmp_path: Path) -> None:
    found = _labelled(tmp_path, ["good", "bad"] * 6)
    drafted = write(tmp_path / "pakar.yaml", draft.recipe_yaml(found, tmp_path / "pakar.yaml"))
    (source,) = recipe_file.load(drafted).prepare.sources
    assert (found.label, source.label) == ("label", "label")
    assert "label     label" in discover.describe(found)


@pytest.mark.parametrize("kinds", [["same"] * 12, [f"kind {n}" for n in range(12)], ["good", "bad", *[""] * 10]])
def test_no_label_is_drafted_where_it_is_not_sure(tmp_path: Path, kinds: list[str]) -> None:
    assert _labelled(tmp_path, kinds).label is None


@pytest.mark.parametrize("odd", ["a.csv", "c.csv"])
def test_the_odd_file_of_a_folder_is_named(tmp_path: Path, odd: str) -> None:
    for name in ("a.csv", "b.csv", "c.csv"):
        header = "query,response" if name == odd else "question,answer"
        write(tmp_path / name, f"{header}\nWhy is it so?,Nobody knows it.\n")
    assert _refused(tmp_path).what.startswith(f"{tmp_path / odd} has ")
