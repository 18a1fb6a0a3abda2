from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, FalconConfig, GPT2Config

from pakar import recipe
from pakar.conversation import Message
from pakar.errors import RecipeError
from pakar.models import base
from pakar.models.prompt import renderer
from tests import tiny


def test_the_starter_is_whole_and_renders() -> None:
    found = base.find(recipe.Model())
    prompts = renderer(found.tokenizer())
    assert prompts.prompt((Message("user", "Hello?"),))
    assert found.context_limit() >= 512


def test_a_local_directory_is_found_and_its_fingerprint_follows_its_bytes(tiny_base: Path, tmp_path: Path) -> None:
    one = base.find(recipe.Model(base=str(tiny_base)))
    other = base.find(recipe.Model(base=str(tiny.save_model(tmp_path / "other", seed=5))))
    assert one.fingerprint == base.find(recipe.Model(base=str(tiny_base))).fingerprint
    assert one.fingerprint != other.fingerprint


def test_what_is_not_a_model_is_explained(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(RecipeError, match=r"Missing: config\.json; weights.*There is: notes\.txt.*Pickled weights"):
        base.find(recipe.Model(base=str(tmp_path)))
    with pytest.raises(RecipeError, match="is a file"):
        base.find(recipe.Model(base=str(tmp_path / "notes.txt")))
    with pytest.raises(RecipeError, match="there is no directory"):
        base.find(recipe.Model(base=str(tmp_path / "absent")))


@pytest.mark.parametrize(
    "config",
    [
        GPT2Config(vocab_size=320, n_positions=64, n_embd=16, n_layer=1, n_head=2),
        BloomConfig(vocab_size=320, hidden_size=16, n_layer=1, n_head=2),
        FalconConfig(vocab_size=320, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, ffn_hidden_size=32),
    ],
    ids=["gpt2", "bloom", "falcon"],
)
def test_other_architectures_without_a_chat_template_load_and_learn(
    tmp_path: Path, config: GPT2Config | BloomConfig | FalconConfig
) -> None:
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)  # type: ignore[no-untyped-call]
    tiny.tokenizer(template=None).save_pretrained(tmp_path)
    found = base.find(recipe.Model(base=str(tmp_path)))
    ids, _ = renderer(found.tokenizer()).example((Message("user", "Sleep?"), Message("assistant", "Yes.")))
    loss = found.load().train()(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss
    loss.backward()
    assert torch.isfinite(loss)
