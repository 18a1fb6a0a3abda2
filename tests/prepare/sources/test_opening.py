from __future__ import annotations

import bz2
import gzip
import os
from pathlib import Path

import pytest
import zstandard

from pakar.errors import DataError
from tests.prepare.sources.helpers import read, write

TABLE = "question,answer\nWhy?,Because.\nHow?,So.\n"
PAIRS = [("Why?", "Because."), ("How?", "So.")]


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "faq_98.csv", TABLE)
    with pytest.raises(DataError, match="there is no file") as caught:
        read(tmp_path / "faq-98.csv")
    assert "faq_98.csv" in caught.value.next_step


@pytest.mark.parametrize("content", [b"", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match="is empty"):
        read(write(tmp_path / "a.csv", content))


@pytest.mark.parametrize("content", ["\n\n \n", "question,answer\n"])
def test_a_file_without_records_is_an_error(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match=r"holds no (rows|records)"):
        read(write(tmp_path / "a.csv", content))


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        ("csv.gz", gzip.compress(TABLE.encode(), mtime=0)),
        ("csv.zst", zstandard.compress(TABLE.encode())),
        ("csv.bz2", bz2.compress(TABLE.encode())),
        ("csv", gzip.compress(TABLE.encode(), mtime=0)),
        ("csv.gz", gzip.compress(TABLE[:30].encode(), mtime=0) + gzip.compress(TABLE[30:].encode(), mtime=0)),
        ("csv.zst", zstandard.compress(TABLE[:30].encode()) + zstandard.compress(TABLE[30:].encode())),
        ("csv.gz", gzip.compress(TABLE.encode(), mtime=0) + bytes(512)),
        ("csv.gz", TABLE.encode()),
    ],
)
def test_compression_is_told_from_the_bytes(tmp_path: Path, ending: str, content: bytes) -> None:
    assert read(write(tmp_path / f"a.{ending}", content)).pairs == PAIRS


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_a_cut_compressed_file_is_an_error_and_not_a_shorter_file(tmp_path: Path, compress: object) -> None:
    assert callable(compress)
    whole = compress(b"question,answer\n" + b"".join(b"%s,x\n" % os.urandom(30).hex().encode() for _ in range(20_000)))
    for cut in (len(whole) // 2, len(whole) - 3):
        with pytest.raises(DataError, match="cut off"):
            read(write(tmp_path / "a.csv.gz", whole[:cut]))


def test_a_damaged_compressed_file_is_an_error(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(TABLE.encode() * 1000))
    whole[len(whole) // 2] ^= 0xFF
    with pytest.raises(DataError, match="damaged"):
        read(write(tmp_path / "a.csv.gz", bytes(whole)))


TEXT = "question,answer\nWas heißt „Übermut“?,Café… naïve Größe €\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_encodings_are_recognised(tmp_path: Path, encoding: str) -> None:
    assert read(write(tmp_path / "a.csv", TEXT.encode(encoding))).pairs == [
        ("Was heißt „Übermut“?", "Café… naïve Größe €")
    ]


@pytest.mark.parametrize(
    ("encoding", "sentence"),
    [
        ("cp1251", "Что такое психическое здоровье и почему оно важно для каждого человека?"),
        ("cp1250", "Źrebię skacze przez płot; a żółw idzie wolniej niż ślimak i śpi całą zimę."),
        ("shift_jis", "これは日本語の文章です。心の健康について説明します。よく眠ることが大切です。"),
    ],
)
def test_other_old_encodings_are_guessed(tmp_path: Path, encoding: str, sentence: str) -> None:
    table = "question,answer\n" + f"{sentence},{sentence}\n" * 20
    assert read(write(tmp_path / "a.csv", table.encode(encoding))).pairs == [(sentence, sentence)] * 20


def test_a_few_bad_bytes_do_not_spoil_a_utf8_file(tmp_path: Path) -> None:
    good = "Größe ist schön?,Ja… sehr.\n" * 5
    found = read(write(tmp_path / "a.csv", ("question,answer\n" + good).encode() + b"Caf\xe9?,Na\xefve \x81.\n")).pairs
    assert found == [("Größe ist schön?", "Ja… sehr.")] * 5 + [("Café?", "Naïve \ufffd.")]


def test_a_late_accent_decides_the_encoding(tmp_path: Path) -> None:
    plain = b"question,answer\n" + b"Why is that so?,Nobody knows.\n" * 50_000
    assert read(write(tmp_path / "a.csv", plain + "Café?,Naïve.\n".encode("cp1252"))).pairs[-1] == ("Café?", "Naïve.")


def test_a_declared_encoding_is_used(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "question,answer\nŁódź?,Miasto.\n".encode("cp1250"))
    assert read(path, encoding="cp1250").pairs == [("Łódź?", "Miasto.")]


@pytest.mark.parametrize("name", ["klingon", "base64"])
def test_an_unknown_encoding_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"no encoding '{name}'"):
        read(write(tmp_path / "a.csv", TABLE), encoding=name)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.pdf", b"%PDF-1.7 ...", "no readable PDF document"),
        ("a.docx", b"PK\x03\x04 word/document.xml", "no readable DOCX document"),
        ("a.csv.tar", b"x" * 257 + b"ustar" + b"\0" * 300, "tar archive"),
        ("a.bin", b"\1\2\0\0\3" * 20, "binary"),
        ("a.parquet", b"PAR1 and nothing more", "not a readable Parquet file"),
        ("a.xlsx", b"PK\x03\x04 no workbook", "not a readable workbook"),
    ],
)
def test_what_is_no_data_is_told_apart(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(write(tmp_path / name, content))


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="neither a file nor a folder"):
        read(tmp_path / "pipe")
