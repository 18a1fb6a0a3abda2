"""Tiny runs with a finished training, made through the program's own stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from pakar import recipe_file, run
from pakar.prepare.stage import prepare
from pakar.run import Run
from pakar.train.stage import train
from tests import tiny

SYSTEM_PROMPT = "Answer kindly."


class Trained(NamedTuple):
    """A run and the directory of its base model."""

    run: Run
    base: Path


def trained(folder: Path, base: Path, *overrides: str) -> Trained:
    """Prepare and train, in float32 unless told otherwise, whatever this processor does best; a few seconds."""
    data = tiny.write_pairs(folder / "rows.csv", tiny.pairs(24))
    recipe = tiny.write_recipe(folder / "recipe.yaml", data, base)
    fast = [
        "train.epochs=1",
        "train.learning_rate=0.05",
        "train.compute.precision=float32",
        f"model.system_prompt={SYSTEM_PROMPT}",
        *overrides,
    ]
    this = run.begin(recipe_file.load(recipe, fast), folder / "runs")
    prepare(this)
    train(this)
    return Trained(this, base)


@pytest.fixture(scope="session")
def lora(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Trained:
    return trained(tmp_path_factory.mktemp("lora"), tiny_base)


@pytest.fixture(scope="session")
def rounded(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Trained:
    """On a base that was rounded to 16 bits."""
    return trained(tmp_path_factory.mktemp("rounded"), tiny_base, "train.compute.precision=bfloat16")


@pytest.fixture(scope="session")
def qlora(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """On a base whose rows are as long as a 4-bit block: bitsandbytes cannot infer on shorter ones on every processor."""
    base = tmp_path_factory.mktemp("wider-base")
    shape: dict[str, Any] = tiny.model().config.to_dict() | {
        "hidden_size": 64,
        "intermediate_size": 128,
        "head_dim": 16,
    }
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**shape)).save_pretrained(base)
    tiny.tokenizer().save_pretrained(base)
    return trained(tmp_path_factory.mktemp("qlora"), base, "train.method.kind=qlora")


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Trained:
    method: Any = "train.method={kind: full}"
    return trained(tmp_path_factory.mktemp("full"), tiny_base, method)
