"""The same rows in, the same rows out: whoever does the work, however the rows are parted, in whatever order they come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pakar.prepare.sources import sharding
from pakar.prepare.spark import SparkExecutor
from pakar.recipe import Spark
from tests.command import pakar
from tests.prepare import mixed_rows, spark_cluster

ROWS = mixed_rows.rows(300)
ON_SPARK = "{kind: spark, master: 'local[2]'}"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> dict[str, Any]:
    """The outcome of one process that reads one file."""
    folder = tmp_path_factory.mktemp("expected")
    data = mixed_rows.write_parts(folder / "data", ROWS, 1)
    return mixed_rows.prepared(folder, data, tiny_base, "{kind: local, workers: 1}")


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkExecutor]:
    """Holds a session for all tests that ask for it."""
    with SparkExecutor(Spark(master="local[2]")) as executor:
        yield executor


def test_the_rows_are_as_mixed_as_they_should_be(expected: dict[str, Any]) -> None:
    assert expected["ledger"]["rows_in"] == 310
    assert expected["ledger"]["rejected"] == {"duplicate": 7, "empty_answer": 1, "empty_question": 1}
    assert expected["ledger"]["changed"]["truncate"] >= 1


@pytest.mark.parametrize(("parts", "ending"), [(2, "jsonl"), (3, "parquet"), (5, "jsonl"), (8, "jsonl")])
def test_parts_and_order_change_nothing(
    parts: int, ending: str, expected: dict[str, Any], tmp_path: Path, tiny_base: Path
) -> None:
    data = mixed_rows.write_parts(tmp_path / "data", mixed_rows.shuffled(ROWS, parts), parts, ending)
    assert mixed_rows.prepared(tmp_path, data, tiny_base, "{kind: local, workers: 1}") == expected


@pytest.mark.slow
def test_two_processes_do_what_one_does(expected: dict[str, Any], tmp_path: Path, tiny_base: Path) -> None:
    data = mixed_rows.write_parts(tmp_path / "data", ROWS, 5)
    assert mixed_rows.prepared(tmp_path, data, tiny_base, "{kind: local, workers: 2}") == expected


class TestOnSpark:
    pytestmark = spark_cluster.needs_spark

    @pytest.mark.parametrize(
        ("parts", "ending"), [(1, "jsonl"), (2, "parquet"), (3, "jsonl"), (5, "jsonl"), (8, "parquet")]
    )
    def test_parts_and_order_change_nothing(
        self, parts: int, ending: str, spark: SparkExecutor, expected: dict[str, Any], tmp_path: Path, tiny_base: Path
    ) -> None:
        rows = ROWS if parts == 1 else mixed_rows.shuffled(ROWS, parts)
        data = mixed_rows.write_parts(tmp_path / "data", rows, parts, ending)
        assert mixed_rows.prepared(tmp_path, data, tiny_base, ON_SPARK) == expected

    def test_one_file_in_many_shards_changes_nothing(
        self, spark: SparkExecutor, expected: dict[str, Any], tmp_path: Path, tiny_base: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(sharding, "SHARD_ROWS", 40)
        data = mixed_rows.write_parts(tmp_path / "data", ROWS, 1)
        assert mixed_rows.prepared(tmp_path, data, tiny_base, ON_SPARK) == expected

    def test_a_cluster_of_two_workers_does_what_one_process_does(
        self, expected: dict[str, Any], tmp_path: Path, tiny_base: Path
    ) -> None:
        mixed_rows.write_recipe(tmp_path, mixed_rows.write_parts(tmp_path / "data", ROWS, 5), tiny_base)
        with spark_cluster.standalone(tmp_path / "cluster") as master:
            executor = f"prepare.executor={{kind: spark, master: '{master}', settings: {spark_cluster.QUIET}}}"
            done = pakar("prepare", "recipe.yaml", "--json", "--set", executor, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert mixed_rows.outcome(tmp_path / "runs" / "mixed") == expected
        printed = json.loads(done.stdout)
        del printed["statistics"]
        assert printed == expected["ledger"]
        assert all(line.startswith(("prepare: ", "  ", "warning: rows ")) for line in done.stderr.splitlines()), (
            done.stderr
        )

    def test_spark_connect_does_what_one_process_does(
        self, expected: dict[str, Any], tmp_path: Path, tiny_base: Path
    ) -> None:
        mixed_rows.write_recipe(tmp_path, mixed_rows.write_parts(tmp_path / "data", ROWS, 3), tiny_base)
        with spark_cluster.connect(tmp_path / "server") as master:
            executor = f"prepare.executor={{kind: spark, master: '{master}'}}"
            done = pakar("prepare", "recipe.yaml", "--json", "--set", executor, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert mixed_rows.outcome(tmp_path / "runs" / "mixed") == expected
