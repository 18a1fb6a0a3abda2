from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pakar import files, run
from pakar.errors import DataError
from pakar.models import base as base_models
from pakar.models.architecture import architecture, empty_model
from pakar.models.prompt import renderer
from pakar.models.scratch import MARKS
from pakar.prepare.scratch import texts
from pakar.prepare.scratch.stage import make_base
from pakar.recipe import Recipe

WORDS = ["the", "river", "runs", "under", "an", "old", "bridge", "and", "children", "play", "until", "evening", "comes"]


def write_rows(path: Path, count: int = 60, seed: int = 3) -> None:
    chance = random.Random(seed)
    lines = [json.dumps({"kind": "prose", "text": " ".join(chance.choices(WORDS, k=30))}) for _ in range(count)]
    path.write_text("\n".join([*lines, json.dumps({"kind": "secret", "text": "zyzzyva " * 400})]) + "\n")


def recipe(folder: Path, **model: Any) -> Recipe:
    shape = {"kind": "llama", "layers": 2, "width": 32, "heads": 2, "vocabulary": 512, **model}
    return Recipe.model_validate(
        {
            "name": "made",
            "model": {"architecture": shape, "context_tokens": 64},
            "prepare": {
                "sources": [{"path": str(folder / "rows.jsonl"), "shape": {"kind": "text"}, "label": "kind"}],
                "operators": [{"kind": "shares", "of": {"secret": 0}}],
            },
            "train": {"method": {"kind": "full"}},
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rows(tmp_path / "rows.jsonl")
    return tmp_path


def test_a_base_is_made_that_loads_like_any_other(folder: Path) -> None:
    asked = recipe(folder)
    this = run.begin(asked, folder / "runs")
    make_base(this)
    base = base_models.find(this.model)
    prompts = renderer(base.tokenizer())
    assert base.context_limit() == 64
    assert [base.tokenizer().convert_ids_to_tokens(n) for n in range(len(MARKS))] == [*MARKS]
    ids = prompts.ids("The river runs, 2026 — tschüß 你好")
    assert base.tokenizer().decode(ids) == "The river runs, 2026 — tschüß 你好"
    assert len(prompts.ids("2026")) == 4
    assert len(prompts.ids("\u00fc")) == len(prompts.ids("u\u0308"))  # letters are composed
    model = base.load()
    assert model.config.vocab_size == 512
    planned = empty_model(architecture(asked.model).config)
    assert [w.shape for w in model.parameters()] == [w.shape for w in planned.parameters()]
    words = base.tokenizer().get_vocab()
    assert not any("zy" in word for word in words)  # what is not taken is not learnt from either


def test_equal_recipes_make_equal_bases_and_a_finished_one_is_left_alone(folder: Path, capfd: Any) -> None:
    made: list[str] = []
    for name in ("one", "other"):
        this = run.begin(recipe(folder).model_copy(update={"name": name}), folder / "runs")
        torch.manual_seed(len(made))  # what happened before must not matter
        make_base(this)
        made.append(base_models.find(this.model).fingerprint)
    assert made[0] == made[1]
    make_base(this)
    assert "base: unchanged, skipped" in capfd.readouterr().err
    write_rows(folder / "rows.jsonl", seed=4)
    make_base(this)
    assert "base: runs again, because source files changed" in capfd.readouterr().err
    assert files.read_json(this.directory / "run.json")["stages"]["base"]["finished"]


def test_texts_too_few_for_the_vocabulary_are_told(folder: Path, capfd: Any) -> None:
    this = run.begin(recipe(folder, vocabulary=2000), folder / "runs")
    make_base(this)
    assert "entries of 2,000; the rest stays unused" in capfd.readouterr().err
    assert base_models.find(this.model).load().config.vocab_size == 2000


def test_missing_sources_are_told_before_anything_is_written(tmp_path: Path) -> None:
    this = run.begin(recipe(tmp_path), tmp_path / "runs")
    with pytest.raises(DataError, match=r"rows\.jsonl"):
        make_base(this)


@given(st.lists(st.text(min_size=1, max_size=20), max_size=60), st.integers(1, 200), st.randoms())
def test_a_sample_depends_on_content_and_seed_alone_and_is_bounded(
    found: list[str], characters: int, chance: random.Random
) -> None:
    sampled = texts.sample(found, characters, seed=1)
    shuffled = list(found)
    chance.shuffle(shuffled)
    assert texts.sample(shuffled, characters, seed=1) == sampled
    assert sum(map(len, sampled)) < characters + 20
    assert sum(map(len, sampled)) >= min(characters, sum(map(len, found)))
