from __future__ import annotations

from pathlib import Path

import pytest

from pakar.errors import DataError
from pakar.prepare import sources
from pakar.recipe import Source
from tests.prepare.sources.helpers import read, write


def test_a_short_text_is_one_record(tmp_path: Path) -> None:
    text = "# Sleep\n\nSleep is a state of rest.\nIt matters.\n"
    assert read(write(tmp_path / "a.md", text)).texts == [text.rstrip("\n")]


def test_long_lines_are_records_of_their_own(tmp_path: Path) -> None:
    lines = [f"{n} " + "word " * 60 for n in range(3)]
    found = read(write(tmp_path / "a.txt", "\n\n".join(lines) + "\r\n"))
    assert found.texts == lines
    assert found.kept["offset"].to_list() == [1, 3, 5]


def test_a_long_text_is_cut_between_paragraphs(tmp_path: Path) -> None:
    paragraphs = [f"Paragraph {n}.\n" + "\n".join(["A line of words."] * 30) for n in range(10)]
    found = read(write(tmp_path / "a.txt", "\n\n".join(paragraphs)))
    assert "\n\n".join(found.texts) == "\n\n".join(paragraphs)
    assert len(found.texts) == 4
    assert all(len(text) < 2_100 for text in found.texts)
    assert found.kept["offset"].to_list()[:2] == [1, 97]


def test_a_text_has_no_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="plain text without columns"):
        read(write(tmp_path / "a.txt", "words"), shape={"kind": "pairs", "question": "q", "answer": "a"})


def test_every_file_of_a_folder_is_accounted_for(tmp_path: Path) -> None:
    write(tmp_path / "b" / "two.md", "Two")
    write(tmp_path / "a.txt", "One\n\n" + "x" * 5_000)
    write(tmp_path / "c.HTML", "<p>Three</p>")
    write(tmp_path / "d.txt", "Größe".encode("cp1252"))
    write(tmp_path / "e.txt", b"\0\1\2\0")
    write(tmp_path / "f.csv", "question,answer\n")
    write(tmp_path / "g.txt", "")
    write(tmp_path / ".hidden.txt", "not read")
    found = read(tmp_path)
    assert found.kept["source"].to_list() == ["a.txt", "b/two.md", "c.HTML", "d.txt", "g.txt"]
    assert found.texts == ["One\n\n" + "x" * 5_000, "Two", "Three", "Größe", ""]
    assert found.rejected.select("source", "reason").rows() == [("e.txt", "binary_file"), ("f.csv", "unsupported_file")]


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no files"):
        read(tmp_path)


def test_a_declared_format_must_fit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder, but the recipe says"):
        read(tmp_path, format="csv")
    with pytest.raises(DataError, match="is a file, but the recipe says"):
        read(write(tmp_path / "a.txt", "x"), format="folder")


def test_the_fingerprint_follows_content_and_names(tmp_path: Path) -> None:
    def fingerprint() -> str:
        return sources.fingerprint(Source(path=str(tmp_path / "texts")))

    write(tmp_path / "texts" / "a.txt", "One")
    first = fingerprint()
    assert fingerprint() == first
    (tmp_path / "texts" / "a.txt").rename(tmp_path / "texts" / "b.txt")
    assert fingerprint() != first
    single = Source(path=str(tmp_path / "texts" / "b.txt"))
    before = sources.fingerprint(single)
    write(tmp_path / "texts" / "b.txt", "Two")
    assert sources.fingerprint(single) != before
