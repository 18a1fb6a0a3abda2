"""Local folders of the hub's layout; nothing is asked of the network."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest

from pakar import recipe_file
from pakar.errors import DataError
from pakar.prepare import sources
from pakar.recipe import PairsShape, Source
from pakar.recipe.sources import HUB
from tests.prepare.sources.helpers import read, write

pytest.importorskip("datasets")

CARD = """---
configs:
- config_name: default
  data_files:
  - {split: train, path: data/train-*.parquet}
  - {split: test, path: data/test-*.parquet}
- config_name: chats
  data_files: more/*.parquet
---
# Questions
"""


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "questions"
    write(folder / "README.md", CARD)
    (folder / "data").mkdir()
    for split, count in (("train", 2_500), ("test", 3)):
        rows = [{"question": f"What is {n}?", "answer": f"It is {n}.", "topic": n % 3} for n in range(count)]
        pl.DataFrame(rows).write_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    chat = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    (folder / "more").mkdir()
    pl.DataFrame({"messages": [chat, chat]}).write_parquet(folder / "more" / "a.parquet")
    return folder


def test_the_default_part_is_its_training_split(dataset: Path) -> None:
    found = read(dataset, format="hub", label="topic")
    assert len(found.kept) == 2_500
    assert found.kept.row(2_400, named=True)["offset"] == 2_401
    assert found.kept["label"].to_list()[:4] == ["0", "1", "2", "0"]
    assert found.kept["source"].unique().to_list() == ["questions"]


def test_configuration_and_split_can_be_chosen(dataset: Path) -> None:
    assert len(read(dataset, format="hub", hub={"split": "test"}).kept) == 3
    found = read(dataset, format="hub", hub={"config": "chats"})
    assert found.turns == [[("user", "Why?"), ("assistant", "So.")]] * 2


def test_what_is_not_there_is_told(dataset: Path) -> None:
    for hub in ({"split": "holdout"}, {"config": "nothing"}):
        with pytest.raises(DataError, match="cannot be read") as caught:
            read(dataset, format="hub", hub=hub)
        assert "hub: {config" in caught.value.next_step


def test_the_fingerprint_follows_content_and_choice(dataset: Path) -> None:
    def fingerprint(split: str) -> str:
        source = {"path": str(dataset), "format": "hub", "hub": {"split": split}}
        return sources.fingerprint(Source.model_validate(source))

    assert fingerprint("train") != fingerprint("test")
    before = fingerprint("train")
    write(dataset / "README.md", CARD + "more\n")
    assert fingerprint("train") != before


def test_it_is_read_in_one_go(dataset: Path) -> None:
    reading = sources.resolve(Source(path=str(dataset), format="hub"))
    assert reading.shape == PairsShape(question="question", answer="answer")
    assert sources.shards(reading) is None


def test_a_missing_package_is_told_with_the_command(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match="not installed") as caught:
        read(dataset, format="hub")
    assert "pip install 'pakar[hub]'" in caught.value.next_step


def test_an_address_of_the_hub_stays_as_it_is_in_the_recipe(tmp_path: Path) -> None:
    path = write(
        tmp_path / "r.yaml",
        f"name: x\nprepare:\n  sources:\n    - path: {HUB}owner/name\n      hub: {{revision: main}}\n",
    )
    source = recipe_file.load(path).prepare.sources[0]
    assert source.path == "hf://datasets/owner/name"
    assert source.hub.revision == "main"
