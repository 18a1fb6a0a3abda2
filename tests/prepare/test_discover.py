from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from pakar import recipe_file
from pakar.errors import DataError
from pakar.prepare import discover, draft, sources
from pakar.prepare.sources.reading import resolve
from pakar.recipe import NoAugmentation, PairsShape, Rephrase, Source, TextShape
from tests.prepare.sources.helpers import SHARED, json_lines, shared, write


def _pairs(count: int) -> str:
    return json_lines(*({"question": f"What is {n}?", "answer": f"It is the number {n}."} for n in range(count)))


def _load(path: Path, recipe_path: Path) -> tuple[discover.Discovery, str]:
    found = discover.look(path)
    return found, draft.recipe_yaml(found, recipe_path)


def test_a_look_counts_and_shows_examples(tmp_path: Path) -> None:
    path = write(tmp_path / "faq.jsonl", _pairs(5) + "{broken\n")
    found = discover.look(path)
    assert (found.path, found.format, found.encoding) == (path, "jsonl", "utf-8")
    assert found.shape == PairsShape(question="question", answer="answer")
    assert found.columns == ("question", "answer")
    assert (found.rows, found.usable, found.rejected) == (6, 5, {"unreadable_json": 1})
    assert found.examples[0] == ("What is 0?", "It is the number 0.")
    assert len(found.examples) == 3
    assert found.mean_answer_words == 5
    assert any("unreadable_json 1" in note for note in found.notes)


def test_notes_tell_what_will_be_cleaned_or_rejected(tmp_path: Path) -> None:
    rows = [
        "questionID,questionTitle,questionText,answerText",
        "1,Title one,,<p>An answer &amp; more</p>",
        "2,Title two,Text two?,<p><br></p>",
        "3,Title three,Text three?,Itâ€™s broken",
        "4,Title four,Text three?,Ask {{name}}",
    ]
    notes = discover.look(write(tmp_path / "a.csv", "\n".join(rows))).notes
    assert notes == (
        "1 empty questions in questionText; questionTitle is used instead.",
        "Columns not used: questionID.",
        "1 answers are empty; such records will be rejected.",
        "1 records hold broken characters such as â€™; cleaning mends them.",
        "1 records hold placeholders such as {{name}} or <unk>; they are learnt as they stand.",
        "1 questions repeat an earlier one; the split keeps equal questions together.",
        "50 % of the answers hold HTML; cleaning takes it out.",
    )


def test_notes_tell_how_the_file_is_read(tmp_path: Path) -> None:
    content = "Größe ist Größe?;Das ist eine Größe.\n".encode() * 3 + b"Was ist ein Caf\xe9?;Ein Haus.\n"
    notes = discover.look(write(tmp_path / "a.csv", content)).notes
    assert notes[0] == "The file has no line with column names; its columns are called column_1, column_2."
    assert notes[1] == "Cells are separated by ';'."
    assert notes[2].startswith("Lines that hold bytes which are not UTF-8: 1;")


def test_a_file_without_a_usable_record_is_an_error(tmp_path: Path) -> None:
    row = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": ""}]}
    with pytest.raises(DataError, match=r"none of its 1 records can be used \(empty_message 1\)"):
        discover.look(write(tmp_path / "a.json", json.dumps([row])))


def test_the_terminal_shows_mapping_columns_and_examples(tmp_path: Path) -> None:
    shown = discover.describe(discover.look(write(tmp_path / "a.jsonl", _pairs(4))))
    assert "format    jsonl, utf-8" in shown
    assert "shape     pairs: question = question, answer = answer" in shown
    assert "size      4 records, 5 words per answer" in shown
    assert "Q: What is 2?\n    A: It is the number 2." in shown


@pytest.mark.parametrize(
    ("records", "epochs", "augmented"),
    [(1, 20, True), (98, 11, True), (499, 2, True), (500, 6, False), (1_346, 2, False), (20_001, 1, False)],
)
def test_epochs_and_copies_follow_the_size(tmp_path: Path, records: int, epochs: int, augmented: bool) -> None:
    _, text = _load(write(tmp_path / "a.jsonl", _pairs(records)), tmp_path / "a.yaml")
    recipe = recipe_file.load(write(tmp_path / "a.yaml", text))
    assert recipe.train.epochs == epochs
    assert recipe.prepare.augment == (Rephrase(copies=2) if augmented else NoAugmentation())
    assert ("take long on a small machine" in text) == (records > 20_000)


def test_running_text_is_not_rephrased(tmp_path: Path) -> None:
    _, text = _load(write(tmp_path / "a.txt", "Some words."), tmp_path / "a.yaml")
    recipe = recipe_file.load(write(tmp_path / "a.yaml", text))
    assert recipe.prepare.augment == NoAugmentation()
    assert recipe.prepare.sources[0].shape == TextShape(column="text")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mental health (1).jsonl", "mental-health-1"),
        ("v1.2 data.jsonl", "v1.2-data"),
        ("Größe: #1 'yes'.jsonl", "gr-e-1-yes"),
        ("心.jsonl", "my-data"),
        ("yes.jsonl", "yes"),
        ("2020.jsonl", "2020"),
        ("a\nb.jsonl", "a-b"),
        ("x" * 100 + ".jsonl", "x" * 64),
    ],
)
def test_any_file_name_gives_a_recipe_that_loads(tmp_path: Path, name: str, expected: str) -> None:
    found, text = _load(write(tmp_path / "some data" / name, _pairs(3)), tmp_path / "recipes" / "a b.yaml")
    recipe = recipe_file.load(write(tmp_path / "recipes" / "a b.yaml", text))
    assert recipe.name == expected
    assert Path(recipe.prepare.sources[0].path) == found.path


@pytest.mark.parametrize(
    "names", [("a: b", "c # d"), ("yes", "null"), ("{x}", "- y"), ("'q'", '"a"'), ("one\ntwo", "três")]
)
def test_any_column_names_give_a_recipe_that_loads(tmp_path: Path, names: tuple[str, str]) -> None:
    question, answer = names
    rows = [{question: f"What is {n}?", answer: f"It is the long number {n}, that is all."} for n in range(3)]
    found, text = _load(write(tmp_path / "a.json", json.dumps(rows)), tmp_path / "a.yaml")
    recipe = recipe_file.load(write(tmp_path / "a.yaml", text))
    assert recipe.prepare.sources[0].shape == found.shape == PairsShape(question=question, answer=answer)


def test_a_folder_can_be_looked_at(tmp_path: Path) -> None:
    write(tmp_path / "texts" / "a.txt", "One text here.")
    write(tmp_path / "texts" / "b.md", "Another text there.")
    found, text = _load(tmp_path / "texts", tmp_path / "texts.yaml")
    recipe = recipe_file.load(write(tmp_path / "texts.yaml", text))
    assert (found.format, found.rows) == ("folder", 2)
    assert recipe.name == "texts"


def test_a_relative_path_is_found_from_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "data" / "faq.jsonl", _pairs(3))
    (tmp_path / "data" / "work").mkdir()
    monkeypatch.chdir(tmp_path / "data" / "work")
    _, text = _load(Path("../faq.jsonl"), Path("../../recipes/faq.yaml"))
    recipe = recipe_file.load(write(tmp_path / "recipes" / "faq.yaml", text))
    assert "path: ../data/faq.jsonl" in text
    assert Path(recipe.prepare.sources[0].path) == tmp_path / "data" / "faq.jsonl"


@pytest.mark.slow
def test_every_shared_file_gives_a_recipe_that_reads_the_same(tmp_path: Path) -> None:
    shared("")
    recipe_path, tried = tmp_path / "a.yaml", 0
    for path in sorted(path for path in SHARED.rglob("*") if path.is_file()):
        try:
            found, text = _load(path, recipe_path)
        except DataError:
            continue
        source: Source = recipe_file.load(write(recipe_path, text)).prepare.sources[0]
        assert resolve(source).shape == found.shape, path
        assert sum(len(batch.kept) for batch in sources.read(source)) == found.usable, path
        assert discover.describe(found)
        tried += 1
    assert tried > 30


def _example(name: str, root: Path) -> Path:
    row = {"question": ["What is it?", "Why so?"], "answer": ["It is a thing.", "Because of that."]}
    root.mkdir()
    match name:
        case "folder of parts":
            write(root / "out" / "_SUCCESS", "")
            pl.DataFrame(row).write_parquet(root / "out" / "part-0.parquet")
            return root / "out"
        case "pattern":
            for number in range(2):
                pl.DataFrame(row).write_parquet(root / f"part-{number}.parquet")
            return root / "part-*.parquet"
        case "documents":
            return write(root / "docs" / "a.html", "<h1>Sleep</h1><p>Rest.</p>").parent
        case "chat":
            return write(root / "chat.txt", "10:15 <ann> Why?\n10:16 <bot> So.\n10:17 <ann> How?\n10:18 <bot> Thus.\n")
        case _:
            rows = [{"chat_id": 1, "role": role, "text": f"Words {n}."} for n, role in enumerate(["user", "bot"] * 3)]
            return write(root / "log.jsonl", json_lines(*rows))


@pytest.mark.parametrize(
    ("name", "format_and_shape"),
    [
        ("folder of parts", ("parquet", "pairs")),
        ("pattern", ("parquet", "pairs")),
        ("documents", ("folder", "text")),
        ("chat", ("chat", "turns")),
        ("table of messages", ("jsonl", "turns")),
    ],
)
def test_sources_of_every_kind_give_a_recipe_that_reads_the_same(
    tmp_path: Path, name: str, format_and_shape: tuple[str, str]
) -> None:
    found, text = _load(_example(name, tmp_path / "data"), tmp_path / "a.yaml")
    source = recipe_file.load(write(tmp_path / "a.yaml", text)).prepare.sources[0]
    assert (source.format, source.shape.kind) == format_and_shape
    assert resolve(source).shape == found.shape
    assert sum(len(batch.kept) + len(batch.rejected) for batch in sources.read(source)) == found.rows > 0
    assert ("passage_words" in text) == (name == "documents")
