"""Files that were cut off, broken or written by careless programs: no crash, no row lost without a word."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pakar.errors import DataError
from pakar.prepare import sources
from pakar.recipe import Source
from tests.prepare.sources.helpers import json_lines, read, write

ROWS = [{"question": f"Why is {n} so?", "answer": f"Because of {n * 7919 % 10_007}."} for n in range(20_000)]


def _csv() -> str:
    return "question,answer\n" + "".join(f"{row['question']},{row['answer']}\n" for row in ROWS)


@pytest.mark.parametrize(
    ("name", "text"), [("a.jsonl", json_lines(*ROWS)), ("a.csv", _csv()), ("a.tsv", _csv().replace(",", "\t"))]
)
@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_a_cut_compressed_file_tells_its_last_good_record(
    tmp_path: Path, name: str, text: str, compress: object
) -> None:
    assert callable(compress)
    whole = compress(text.encode())
    path = write(tmp_path / f"{name}.x", whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a\.\w+\.x is cut off.*last good record has offset [\d,]+") as caught:
        read(path, format=name[2:])
    found = re.search(r"offset ([\d,]+)", caught.value.what)
    assert found
    assert 5_000 < int(found[1].replace(",", "")) < 15_000
    assert caught.value.next_step


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 255))
@example(1_014_669, 128)  # in a column's name in the footer
def test_a_byte_that_was_changed_or_a_lost_end_never_crashes(place: int, byte: int) -> None:
    buffer = io.BytesIO()
    pl.DataFrame(ROWS[:200]).write_parquet(buffer, row_group_size=50)
    for name, whole in (
        ("a.parquet", buffer.getvalue()),
        ("a.jsonl.gz", gzip.compress(json_lines(*ROWS[:200]).encode())),
    ):
        at = place % len(whole)
        with tempfile.TemporaryDirectory() as folder:
            for content in (whole[:at] + bytes([byte]) + whole[at + 1 :], whole[:at]):
                path = write(Path(folder) / name, content)
                with contextlib.suppress(DataError):
                    assert len(read(path).rejected) >= 0


@pytest.fixture
def short_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("opening", "json_files", "delimited"):
        monkeypatch.setattr(f"pakar.prepare.sources.{module}.LONGEST_LINE", 1_000)


@pytest.mark.usefixtures("short_lines")
def test_a_line_that_is_too_long_is_rejected_and_the_next_is_read(tmp_path: Path) -> None:
    long = {"question": "Why?", "answer": "wörd " * 2_000}
    found = read(write(tmp_path / "a.jsonl", json_lines(ROWS[0], long, ROWS[1])))
    assert found.reasons == [(2, "too_large")]
    assert len(found.rejected["text"][0]) <= 4_096
    assert found.kept["offset"].to_list() == [1, 3]
    table = f"question,answer\nWhy?,So.\nHow?,{'word ' * 2_000}\nWho?,I.\n"
    found = read(write(tmp_path / "a.csv", table))
    assert found.reasons == [(2, "too_large")]
    assert found.pairs == [("Why?", "So."), ("Who?", "I.")]
    found = read(write(tmp_path / "b.csv", table.replace("word " * 2_000, '"' + "word, " * 2_000 + '"')))
    assert found.reasons == [(2, "too_large")]
    assert found.pairs == [("Why?", "So."), ("Who?", "I.")]


@pytest.mark.usefixtures("short_lines")
def test_a_line_of_just_the_longest_length_is_read(tmp_path: Path) -> None:
    for missing in (0, 1, 2):
        row = {"question": "Why?", "answer": "x"}
        row["answer"] = "x" * (1_000 + 1 - missing - len(json.dumps(row)))
        assert len(read(write(tmp_path / "a.jsonl", json.dumps(row))).kept) == 1
        assert (
            len(read(write(tmp_path / "a.jsonl", json.dumps(row)[:-2] + '"}\n' + json_lines(ROWS[0]))).kept) + missing
            >= 1
        )


@pytest.mark.usefixtures("short_lines")
def test_a_quotation_that_swallows_too_much_is_an_error_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'question,answer\nWhy?,So.\nHow?,"open\n' + "W?,T.\n" * 500)
    with pytest.raises(DataError, match="line 3 is longer"):
        read(path)


def test_keys_that_stand_twice_are_rejected(tmp_path: Path) -> None:
    twice = '{"question": "Why?", "answer": "So.", "answer": "Thus."}'
    nested = '{"messages": [{"role": "user", "content": "a", "content": "b"}]}'
    found = read(write(tmp_path / "a.jsonl", f"{json.dumps(ROWS[0])}\n{twice}\n{nested}\n"))
    assert found.reasons == [(2, "repeated_key"), (3, "repeated_key")]
    assert "'answer' stands twice" in found.rejected["detail"][0]
    found = read(write(tmp_path / "a.json", f"[{json.dumps(ROWS[0])}, {twice}]"))
    assert found.reasons == [(2, "repeated_key")]


def test_records_without_the_columns_are_rejected(tmp_path: Path) -> None:
    found = read(write(tmp_path / "a.jsonl", json_lines(*ROWS[:3], {"a": "x", "b": "y"}, {})))
    assert found.reasons == [(4, "missing_columns"), (5, "missing_columns")]
    assert found.rejected["detail"][0] == "the record has none of question, answer; it has a, b"
    found = read(write(tmp_path / "t.jsonl", json_lines({"text": "a b c d"}, {"body": "y"})), shape={"kind": "text"})
    assert found.reasons == [(2, "missing_columns")]


def test_numbers_that_are_none_and_zero_bytes_pass_as_text(tmp_path: Path) -> None:
    lines = '{"question": NaN, "answer": "So."}\n{"question": "Wh\\u0000y?", "answer": "Thus."}\n'
    shape = {"kind": "pairs", "question": "question", "answer": "answer"}
    assert read(write(tmp_path / "a.jsonl", lines), shape=shape).pairs == [("", "So."), ("Wh\0y?", "Thus.")]


def test_compressed_parquet_and_workbooks_are_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pl.DataFrame(ROWS[:50]).write_parquet(buffer)
    path = write(tmp_path / "a.parquet.gz", gzip.compress(buffer.getvalue()))
    assert len(read(path).kept) == 50
    assert sources.shards(sources.resolve(Source(path=str(path)))) is None
    half = write(tmp_path / "b.parquet.gz", gzip.compress(buffer.getvalue())[:-40])
    with pytest.raises(DataError, match=r"b.parquet.gz is cut off"):
        read(half)


def test_long_windows_are_decompressed(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=28, enable_ldm=True)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compress(json_lines(*ROWS).encode())
    assert len(read(write(tmp_path / "a.jsonl.zst", packed)).kept) == 20_000


_MEASURE = """
import resource, sys
from pakar.prepare import sources
from pakar.recipe import Source
list(sources.read(Source(path=sys.argv[1])))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = list(sources.read(Source(path=sys.argv[2])))
print(sum(len(b.kept) for b in found), sum(len(b.rejected) for b in found))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt"])
def test_a_line_of_200_megabytes_needs_little_memory(tmp_path: Path, name: str) -> None:
    small = write(tmp_path / f"small_{name}", json_lines(*ROWS[:10]) if name == "a.jsonl" else _csv()[:2_000])
    path = tmp_path / name
    with path.open("w") as file:
        file.write(small.read_text())
        for _ in range(200):
            file.write("x" * 1_000_000)
        file.write("\n" + json_lines(ROWS[0]))
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(small), str(path)], capture_output=True, text=True, check=True
    )
    counts, megabytes = done.stdout.splitlines()
    assert int(counts.split()[1]) >= 1
    assert int(megabytes) < 350
