from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path

import polars as pl
import pytest

from pakar import recipe_file
from pakar.errors import DataError
from pakar.prepare import sources
from pakar.prepare.sources import Shard
from pakar.recipe import Source
from tests.prepare.sources.helpers import Read, json_lines, read, write


def _table(start: int, count: int) -> pl.DataFrame:
    numbers = range(start, start + count)
    return pl.DataFrame({"question": [f"What is {n}?" for n in numbers], "answer": [f"It is {n}." for n in numbers]})


def _spark_folder(folder: Path, files: int = 3, rows: int = 4) -> Path:
    """As Spark leaves it."""
    folder.mkdir(parents=True)
    for number in range(files):
        path = folder / f"part-{number:05}-c0ffee.snappy.parquet"
        _table(number * rows, rows).write_parquet(path, compression="snappy")
        write(folder / f".{path.name}.crc", b"crc")
    write(folder / "_SUCCESS", b"")
    return folder


def _places(found: Read) -> list[tuple[str, int]]:
    return list(found.kept.select("source", "offset").iter_rows())


def test_a_folder_that_spark_wrote_is_one_table(tmp_path: Path) -> None:
    found = read(_spark_folder(tmp_path / "out"))
    assert found.pairs == [(f"What is {n}?", f"It is {n}.") for n in range(12)]
    assert _places(found)[3:6] == [
        ("part-00000-c0ffee.snappy.parquet", 4),
        ("part-00001-c0ffee.snappy.parquet", 1),
        ("part-00001-c0ffee.snappy.parquet", 2),
    ]


def test_a_pattern_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b", "a", "other"):
        write(tmp_path / f"part-{name}.csv", f"question,answer\n{name} one?,So it is.\n{name} two?,So it was.\n")
    found = read(tmp_path / "part-[ab].csv")
    assert _places(found) == [("part-a.csv", 1), ("part-a.csv", 2), ("part-b.csv", 1), ("part-b.csv", 2)]


def test_folders_of_partitions_are_looked_into(tmp_path: Path) -> None:
    for topic in ("sleep", "stress"):
        _spark_folder(tmp_path / "data" / f"topic={topic}", files=1, rows=2)
    name = "part-00000-c0ffee.snappy.parquet"
    everywhere = [(f"topic={topic}/{name}", offset) for topic in ("sleep", "stress") for offset in (1, 2)]
    assert _places(read(tmp_path / "data")) == everywhere
    assert _places(read(tmp_path / "data" / "**" / "*.parquet")) == everywhere
    assert _places(read(tmp_path / "data" / "topic=st*")) == everywhere[2:]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    assert len(read(write(tmp_path / "faq[1].csv", "question,answer\nWhy?,So.\n")).kept) == 1


def test_a_pattern_without_a_match_says_what_is_there(tmp_path: Path) -> None:
    write(tmp_path / "faq.csv", "question,answer\n")
    with pytest.raises(DataError, match="no file matches") as caught:
        read(tmp_path / "part-*.parquet")
    assert "faq.csv" in caught.value.next_step


def test_json_parts_of_one_and_of_many_lines_are_one_table(tmp_path: Path) -> None:
    rows = [{"question": f"Why {n}?", "answer": "So."} for n in range(6)]
    write(tmp_path / "part-0.json", json_lines(rows[0]))
    write(tmp_path / "part-1.json", json_lines(*rows[1:4]))
    write(tmp_path / "part-2.json.gz", gzip.compress(json_lines(*rows[4:]).encode()))
    write(tmp_path / "part-3.json", b"")
    assert [question for question, _ in read(tmp_path).pairs] == [row["question"] for row in rows]


def test_empty_partitions_do_not_matter(tmp_path: Path) -> None:
    write(tmp_path / "part-0.csv", "question,answer\n")
    write(tmp_path / "part-1.csv", "")
    write(tmp_path / "part-2.csv", "question,answer\nWhy is it so?,Nobody knows it.\n")
    assert _places(read(tmp_path)) == [("part-2.csv", 1)]
    _table(0, 0).write_parquet(tmp_path / "part-0.parquet")
    _table(0, 2).write_parquet(tmp_path / "part-1.parquet")
    assert _places(read(tmp_path / "*.parquet")) == [("part-1.parquet", 1), ("part-1.parquet", 2)]


def test_part_files_without_an_ending_are_recognised(tmp_path: Path) -> None:
    for number in range(2):
        write(
            tmp_path / f"part-0000{number}", json_lines(*({"question": f"Why {n}?", "answer": "So."} for n in range(3)))
        )
    assert len(read(tmp_path).kept) == 6


def test_a_readme_beside_tables_is_no_document(tmp_path: Path) -> None:
    _spark_folder(tmp_path / "data", files=1)
    write(tmp_path / "README.md", "# About this data")
    assert len(read(tmp_path).kept) == 4


def test_files_of_several_kinds_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "question,answer\nWhy?,So.\n")
    write(tmp_path / "b.jsonl", json_lines({"question": "Why?", "answer": "So."}))
    with pytest.raises(DataError, match=r"several kinds: 1 csv \(a.csv\); 1 json \(b.jsonl\)"):
        read(tmp_path)
    assert len(read(tmp_path, format="jsonl").kept) == 1


def test_a_part_with_other_columns_is_named(tmp_path: Path) -> None:
    _table(0, 2).write_parquet(tmp_path / "part-0.parquet")
    pl.DataFrame({"title": ["x"], "body": ["y"]}).write_parquet(tmp_path / "part-1.parquet")
    with pytest.raises(DataError, match=r"part-1.parquet has no column 'question'; it has title, body"):
        read(tmp_path)
    with pytest.raises(DataError, match=r"part-1.parquet has no column"):
        sources.shards(sources.resolve(Source(path=str(tmp_path))))


def test_a_broken_part_is_named(tmp_path: Path) -> None:
    _table(0, 2).write_parquet(tmp_path / "part-0.parquet")
    write(tmp_path / "part-1.parquet", (tmp_path / "part-0.parquet").read_bytes()[:-20])
    with pytest.raises(DataError, match=r"part-1.parquet is not a readable Parquet file, or cut off"):
        read(tmp_path)


def test_the_fingerprint_of_a_pattern_follows_its_files(tmp_path: Path) -> None:
    _spark_folder(tmp_path / "out")
    source = Source(path=str(tmp_path / "out" / "*.parquet"))
    before = sources.fingerprint(source)
    write(tmp_path / "out" / "notes.txt", "no part")
    assert sources.fingerprint(source) == before
    _table(0, 1).write_parquet(tmp_path / "out" / "part-9.parquet")
    assert sources.fingerprint(source) != before


def test_a_recipe_may_hold_a_pattern(tmp_path: Path) -> None:
    path = write(tmp_path / "r.yaml", "name: x\nprepare:\n  sources:\n    - path: data/../data/part-*.csv\n")
    assert recipe_file.load(path).prepare.sources[0].path == str(tmp_path / "data" / "part-*.csv")


def _by_shards(path: Path, **source: object) -> tuple[Read, list[Shard]]:
    reading = pickle.loads(pickle.dumps(sources.resolve(Source.model_validate({"path": str(path), **source}))))
    found = sources.shards(reading, 3)
    assert found is not None
    batches = [b for shard in found for b in sources.read_shard(reading, Shard(*json.loads(json.dumps(shard))))]
    return Read(pl.concat([b.kept for b in batches]), pl.concat([b.rejected for b in batches])), found


def test_shards_hold_what_the_whole_holds(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    for number in range(2):
        _table(number * 70_000, 70_000).write_parquet(folder / f"part-{number}.parquet", row_group_size=20_000)
    parted, shards = _by_shards(folder)
    whole = read(folder)
    assert parted.kept.equals(whole.kept)
    assert [(shard.first, shard.rows) for shard in shards] == [(1, 40_000), (40_001, 30_000)] * 2
    assert {shard.source for shard in shards} == {3}


def test_a_single_large_row_group_is_one_shard(tmp_path: Path) -> None:
    _table(0, 60_000).write_parquet(tmp_path / "a.parquet", row_group_size=60_000)
    parted, shards = _by_shards(tmp_path / "a.parquet")
    assert [(shard.first, shard.rows) for shard in shards] == [(1, 60_000)]
    assert parted.kept.equals(read(tmp_path / "a.parquet").kept)


@pytest.mark.parametrize("end", ["\n", "", "\n\n"])
def test_shards_of_json_lines_keep_line_numbers(tmp_path: Path, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pakar.prepare.sources.sharding.SHARD_ROWS", 500)
    monkeypatch.setattr("pakar.prepare.sources.json_files.LOOK_BYTES", 999)
    rows = [json.dumps({"question": f"Größe {n}?", "answer": "word " * 9}, ensure_ascii=False) for n in range(2_000)]
    rows[700] = '{"question": "cut off'
    rows[800] = ""
    rows[900] = json.dumps({"question": "Long?", "answer": "word " * 1_000})
    path = write(tmp_path / "a.jsonl", "\ufeff" + "\n".join(rows) + end)
    parted, shards = _by_shards(path)
    whole = read(path)
    assert len(shards) == 4
    assert parted.kept.equals(whole.kept)
    assert parted.rejected.equals(whole.rejected)
    assert whole.reasons == [(701, "unreadable_json")]
    assert whole.kept["offset"][-1] == 2_000


def test_what_must_be_read_in_one_go_has_no_shards(tmp_path: Path) -> None:
    table = "question,answer\nWhy is it so?,Nobody knows it.\n"
    lines = json_lines({"question": "Why?", "answer": "So."}, {"question": "How?", "answer": "Thus."})
    for path in (
        write(tmp_path / "a.csv", table),
        write(tmp_path / "a.jsonl.gz", gzip.compress(lines.encode())),
        write(tmp_path / "b.jsonl", lines.encode("utf-16")),
    ):
        assert sources.shards(sources.resolve(Source(path=str(path)))) is None


def test_files_of_any_format_are_shards_of_a_folder(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"part-{number}.csv", f"question,answer\nWhy {number} is it?,Nobody knows it.\n")
    parted, shards = _by_shards(tmp_path)
    assert [(Path(shard.path).name, shard.rows) for shard in shards] == [(f"part-{n}.csv", None) for n in range(3)]
    assert parted.kept.equals(read(tmp_path).kept)
