from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pakar import recipe_file, run, shards
from pakar.models import base as base_models
from pakar.models.prompt import Renderer, renderer
from pakar.prepare.stage import prepare
from pakar.run import Run
from pakar.train import stopping
from pakar.train.stopping import Stopping
from tests import tiny

END = 2


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Run:
    folder = tmp_path_factory.mktemp("stopping")
    data = tiny.write_pairs(folder / "rows.csv", tiny.pairs(20))
    this = run.begin(recipe_file.load(tiny.write_recipe(folder / "recipe.yaml", data, tiny_base)), folder / "runs")
    prepare(this)
    return this


@pytest.fixture(scope="module")
def prompts(prepared: Run) -> Renderer:
    return renderer(base_models.find(prepared.recipe.model).tokenizer())


def always(token: int) -> torch.nn.Module:
    """A model that writes one token for ever."""
    made: Any = tiny.model()
    made.lm_head = torch.nn.Linear(32, 320)
    with torch.no_grad():
        made.lm_head.weight.zero_()
        made.lm_head.bias.zero_()
        made.lm_head.bias[token] = 1.0
    assert isinstance(made, torch.nn.Module)
    return made


def test_a_model_that_ends_its_answers_is_not_warned_of(prepared: Run, prompts: Renderer) -> None:
    found = stopping.look(prepared, always(END), prompts, 96)
    assert (found.ended, found.answers, found.taught) == (stopping.QUESTIONS, stopping.QUESTIONS, 1.0)
    assert stopping.noted({"warning": None}, found, prompts)["warning"] is None


def test_a_model_that_never_ends_is_named_beside_other_warnings(prepared: Run, prompts: Renderer) -> None:
    model = always(40).train()
    found = stopping.look(prepared, model, prompts, 96)
    assert model.training  # as it was
    assert found.ended == 0
    told = stopping.noted({"warning": "over-fitting.", "steps": 3}, found, prompts)
    assert told["warning"].startswith("over-fitting. the model never ends its answers: none of 4 answers")
    assert "<|end|>" in told["warning"]
    assert told["stopping"] == {"ended": 0, "answers": 4, "tokens": found.tokens, "taught": 1.0}


def test_an_end_token_that_is_masked_like_padding_is_named(prepared: Run, prompts: Renderer, tmp_path: Path) -> None:
    whole = shards.TokenShards(prepared.tokens_dir("train"))
    rows = [whole[n] for n in range(len(whole))]
    masked: Callable[[Any], list[int]] = lambda row: [int(m and i != END) for i, m in zip(row.input_ids, row.loss_mask, strict=True)]  # noqa: E731  # fmt: skip
    shards.write(tmp_path / "part-00000.arrow", [(row.example, row.input_ids.tolist(), masked(row)) for row in rows])
    assert stopping._taught(shards.TokenShards(tmp_path), END) == 0.0
    told = Stopping(ended=0, answers=4, tokens=20, taught=0.0).warning("</s>")
    assert told is not None
    assert "never taught to end its answers: no training sequence holds a supervised </s>" in told


def test_running_text_has_no_questions_and_no_warning() -> None:
    assert Stopping(ended=0, answers=0, tokens=0, taught=0.0).warning("</s>") is None


def test_answers_are_bounded_by_the_references_and_by_the_context(prepared: Run, prompts: Renderer) -> None:
    assert stopping.look(prepared, always(40), prompts, 96).tokens <= stopping.MOST_TOKENS
    assert stopping.look(prepared, always(40), prompts, 4).answers == 0  # no prompt fits
