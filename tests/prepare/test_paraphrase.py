from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from pakar import examples, recipe_file
from pakar.errors import RecipeError
from pakar.prepare import paraphrase
from pakar.prepare.stage import prepare
from pakar.recipe import BackTranslation, Paraphrase
from pakar.run import Run
from tests import tiny


@pytest.fixture(scope="module")
def seq2seq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights, of the true layout: what it writes makes no sense, but it writes."""
    directory = tmp_path_factory.mktemp("t5")
    tokenizer = tiny.tokenizer()
    torch.manual_seed(3)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id,
    )  # fmt: skip
    model = T5ForConditionalGeneration(config)
    model.generation_config.decoder_start_token_id = tokenizer.eos_token_id
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def test_a_model_writes_candidates_and_the_same_ones_again(seq2seq: Path) -> None:
    ways = paraphrase.load(Paraphrase(model=str(seq2seq), copies=2))
    questions = ["How can I sleep better?", "What is stress?"]
    assert ways(questions) == ways(questions)
    assert [len(found) <= 4 for found in ways(questions)] == [True, True]
    there_and_back = paraphrase.load(BackTranslation(there=str(seq2seq), back=str(seq2seq)))
    assert len(there_and_back(questions)) == 2


def test_candidates_that_say_the_same_or_far_too_much_are_left_out() -> None:
    candidates = ["how can I sleep?", "What helps me sleep?", "", "...", "word " * 40]
    assert paraphrase._sensible(["How can I sleep?"], [candidates]) == [["What helps me sleep?"]]


def test_rows_from_a_model_are_marked_and_only_for_training(tmp_path: Path, tiny_base: Path, seq2seq: Path) -> None:
    data = tiny.write_pairs(tmp_path / "d.csv", tiny.pairs(20))
    recipe = recipe_file.load(
        tiny.write_recipe(tmp_path / "r.yaml", data, tiny_base),
        [f"prepare.augment={{kind: paraphrase, model: {seq2seq}}}"],
    )
    run = Run(tmp_path / "run", recipe)
    prepare(run)
    marked = {name: int(examples.frame(run.examples_dir(name))["augmented"].sum()) for name in ("train", "test")}
    assert marked["test"] == 0
    assert marked["train"] == run.record("prepare")["counts"]["augmented"]


def test_a_model_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="sequence-to-sequence"):
        paraphrase.load(Paraphrase(model=str(tmp_path)))
