"""A model loads whole, or is refused in words before anything long begins."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pakar import recipe
from pakar.conversation import Message
from pakar.engine.local import LocalEngine
from pakar.errors import RecipeError
from pakar.models import base, faults, loading, merge
from pakar.models.architecture import architecture, empty_model
from pakar.models.prompt import renderer
from tests import tiny

Weights = dict[str, torch.Tensor]


@pytest.fixture
def model(tiny_base: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(tiny_base, tmp_path / "model"))


def edit(path: Path, changes: Mapping[str, object]) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rewrite(directory: Path, change: Callable[[Weights], Weights]) -> None:
    path = directory / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def find(directory: Path) -> base.BaseModel:
    return base.find(recipe.Model(base=str(directory)))


# Weights


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda all_: {n: t for n, t in all_.items() if "layers.1" not in n}, r"layers\.1\.input_layernorm\.weight is missing.* and 6 more"),
        (lambda all_: {f"encoder.{n}": t for n, t in all_.items()}, "lm_head.weight is missing"),
        (lambda all_: {n: t for n, t in all_.items() if n != "lm_head.weight"}, "lm_head.weight is missing"),
        (lambda all_: all_ | {"model.norm.weight": torch.ones(16)}, r"model\.norm\.weight is \[16\], not \[32\]"),
    ],
    ids=["a layer", "another prefix", "the head", "another shape"],
)  # fmt: skip
def test_weights_that_are_missing_are_not_filled_with_random_numbers(
    model: Path, change: Callable[[Weights], Weights], told: str
) -> None:
    rewrite(model, change)
    for load in (lambda: find(model), lambda: base.BaseModel("x", model).load(), lambda: merge._whole(model)):
        with pytest.raises(RecipeError, match=told) as raised:
            load()
        assert "Next:" in str(raised.value)


def test_more_layers_in_the_configuration_than_are_stored_are_refused(model: Path) -> None:
    edit(model / "config.json", {"num_hidden_layers": 6})
    with pytest.raises(RecipeError, match=r"layers\.2\..* is missing"):
        find(model)


def test_weights_that_are_tied_need_not_be_stored_twice(model: Path) -> None:
    edit(model / "config.json", {"tie_word_embeddings": True})
    rewrite(model, lambda all_: {name: tensor for name, tensor in all_.items() if name != "lm_head.weight"})
    loaded: Any = find(model).load()
    assert loaded.get_input_embeddings().weight is loaded.lm_head.weight


def test_the_look_at_weights_reads_none_of_them(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Any] = []
    real = loading.read
    monkeypatch.setattr(loading, "read", lambda *a, **how: looked.append(real(*a, **how)))
    find(model)
    assert {weight.device.type for weight in looked[0].parameters()} == {"meta"}


# Configurations and tokenizers that libraries stumble over


@pytest.mark.parametrize(
    "changes",
    [
        {"rms_norm_eps": "x"},
        {"num_attention_heads": 5},
        {"num_attention_heads": 0},
        {"intermediate_size": 48},
        {"rope_parameters": {"rope_type": "evil"}},
        {"hidden_act": "evil"},
        {"dtype": "evil"},
        {"model_type": "t5"},
        {"pad_token_id": 10**6},
        {"layer_types": ["x"]},
    ],
    ids=str,
)
def test_faults_of_a_configuration_are_told_in_words(model: Path, changes: dict[str, Any]) -> None:
    edit(model / "config.json", changes)
    with pytest.raises(RecipeError, match=re.escape(str(model))) as raised:
        find(model)
    assert "Next:" in str(raised.value)
    assert str(raised.value).replace("\n", "").isprintable()


def test_a_plan_tells_them_in_words_too(model: Path) -> None:
    edit(model / "config.json", {"hidden_act": "evil"})
    with pytest.raises(RecipeError, match="evil"):
        empty_model(architecture(recipe.Model(base=str(model))).config)


STEPS: dict[str, dict[str, Any]] = {
    "broken table": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
    "broken expression": {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": False}},
    "unknown model": {"model": {"type": "Evil"}},
}  # fmt: skip


@pytest.mark.parametrize("name", [*STEPS, "empty", "class"])
def test_faults_of_a_tokenizer_are_told_in_words(model: Path, name: str) -> None:
    if name == "empty":
        (model / "tokenizer.json").write_text("{}")
    elif name == "class":
        edit(model / "tokenizer_config.json", {"tokenizer_class": "BertJapaneseTokenizer"})
    else:
        edit(model / "tokenizer.json", STEPS[name])
    with pytest.raises(RecipeError, match=r"tokenizer(.|\n)*Next:"):
        find(model)


def add_tokens(directory: Path, start: int, texts: list[str], *, special: bool) -> None:
    content = json.loads((directory / "tokenizer.json").read_text())
    kind = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special}
    content["added_tokens"] += [{"id": start + n, "content": text, **kind} for n, text in enumerate(texts)]
    (directory / "tokenizer.json").write_text(json.dumps(content))


def test_a_tokenizer_with_words_beyond_the_embedding_is_refused(model: Path) -> None:
    add_tokens(model, 320, ["sleep", "week"], special=False)
    with pytest.raises(RecipeError, match=r"'week' is 321, vocab_size is 320 \(2 in all\)"):
        find(model)


def test_special_tokens_beyond_the_embedding_matter_only_if_a_template_writes_them(model: Path) -> None:
    add_tokens(model, 320, ["<image>"], special=True)
    find(model)
    (model / "chat_template.jinja").write_text(tiny.TEMPLATE + "{{ '<image>' }}")
    with pytest.raises(RecipeError, match="'<image>' is 320"):
        find(model)


class PanicException(BaseException):
    """As the bridge from Rust to Python names it."""


def test_a_panic_of_rust_is_told_and_ends_of_the_program_or_of_memory_are_not(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"the thing in .* cannot be used: .?PanicException: bad thing"), faults.told(tmp_path, "the thing"):  # fmt: skip
        raise PanicException("bad\n thing\x1b[0m")
    for error in (KeyboardInterrupt(), MemoryError(), RuntimeError("CUDA out of memory"), RecipeError("x")):
        with pytest.raises(type(error)) as raised, faults.told(tmp_path, "the thing"):
            raise error
        assert raised.value is error


# What a model would have others generate


@pytest.mark.parametrize(
    "wishes",
    [
        {"num_beams": 5},
        {"suppress_tokens": [*range(3, 300)]},
        {"no_repeat_ngram_size": 1},
        {"sequence_bias": [[[9], 100.0]]},
        {"stop_strings": ["a"]},
        {"min_new_tokens": 7, "eos_token_id": [2, 7]},
    ],
    ids=str,
)
@pytest.mark.parametrize("file", ["generation_config.json", "config.json"])
def test_how_a_model_would_be_sampled_elsewhere_does_not_steer_it_here(
    model: Path, tiny_base: Path, wishes: dict[str, Any], file: str
) -> None:
    edit(model / file, wishes)
    plain = answer(base.BaseModel("x", tiny_base).load(), tiny_base)
    loaders: list[Callable[[], Any]] = [base.BaseModel("x", model).load, lambda: merge._whole(model)]
    for load in loaders:
        assert answer(load(), tiny_base) == plain


def test_the_ids_of_special_tokens_are_kept(model: Path) -> None:
    edit(model / "generation_config.json", {"eos_token_id": [2, 7], "pad_token_id": 5, "num_beams": 5})
    kept = find(model).load().generation_config
    assert kept is not None
    assert (kept.bos_token_id, kept.eos_token_id, kept.pad_token_id, kept.num_beams) == (1, [2, 7], 5, None)


def answer(loaded: Any, directory: Path) -> str:
    engine = LocalEngine(loaded, renderer(loading.tokenizer(directory)), 96)
    asked = [(Message("user", "How can I sleep?"),)]
    return engine.complete(asked, recipe.Sampling(max_tokens=8), seed=1)[0].text
