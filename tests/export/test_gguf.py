from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import gguf as library
import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from pakar.errors import QualityError, UserError
from pakar.export import gguf
from pakar.export.gguf import architectures, vocabulary
from pakar.models import merge
from pakar.models.prompt import Renderer, renderer
from tests import tiny
from tests.export import golden
from tests.export.shapes import ROWS, SHAPES, config, facts, model

READ_BY_TRANSFORMERS = ("llama", "qwen2", "bloom", "falcon 7b", "phi3")
"""Of these shapes; for the others see docs/export.md."""
GOLDEN = json.loads(Path(__file__).with_name("gguf_golden.json").read_text(encoding="utf-8"))
"""What `python -m tests.export.golden` wrote after llama.cpp had computed the same logits from these very files."""
HAS_LLAMA_CPP = importlib.util.find_spec("llama_cpp") is not None
needs_llama_cpp = pytest.mark.skipif(not HAS_LLAMA_CPP, reason="llama-cpp-python is not installed")


def embeddings(made: PreTrainedModel) -> str:
    """Name of the word embeddings."""
    return next(name for name, _ in made.named_parameters())


@pytest.fixture(scope="module")
def prompts() -> Renderer:
    return renderer(tiny.tokenizer())


def fields(path: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in library.GGUFReader(path).fields.items()}


def tensors(path: Path) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in library.GGUFReader(path).tensors}


@pytest.mark.parametrize("kind", READ_BY_TRANSFORMERS)
def test_transformers_reads_the_same_logits_back(tmp_path: Path, prompts: Renderer, kind: str) -> None:
    made = model(kind)
    gguf.write(tmp_path / "a.gguf", made, prompts, "float32", "a")
    read: Any = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="a.gguf", dtype=torch.float32)
    found = merge.compare(merge.logits(made, ROWS), merge.logits(read.eval(), ROWS))
    assert found.largest < 1e-4


@pytest.mark.parametrize("storage", ["float16", "bfloat16", "q8_0"])
def test_weights_rounded_beforehand_are_those_read_back(tmp_path: Path, prompts: Renderer, storage: merge.Storage) -> None:  # fmt: skip
    made = model("llama")
    gguf.write(tmp_path / "a.gguf", made, prompts, storage, "a")
    gguf.round_weights(made, storage)
    read: Any = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="a.gguf", dtype=torch.float32)
    assert merge.compare(merge.logits(made, ROWS), merge.logits(read.eval(), ROWS)).largest < 1e-4


@pytest.mark.parametrize("kind", SHAPES)
def test_every_weight_is_in_the_file_and_rounding_is_what_was_written(tmp_path: Path, prompts: Renderer, kind: str) -> None:  # fmt: skip
    made = model(kind)
    path = tmp_path / "a.gguf"
    gguf.write(path, made, prompts, "q8_0", "a")
    stored = tensors(path)
    assert sum(int(t.n_elements) for n, t in stored.items() if n != "rope_freqs.weight") == made.num_parameters()
    assert sum(int(t.n_bytes) for n, t in stored.items() if n != "rope_freqs.weight") == gguf.size(made, "q8_0")
    weight: torch.Tensor = made.get_parameter(embeddings(made))
    before = weight.detach().clone()
    gguf.round_weights(made, "q8_0")
    after = weight.detach()
    embedding = stored["token_embd.weight"]
    assert np.array_equal(library.dequantize(embedding.data, embedding.tensor_type), after.numpy())
    step = before.reshape(-1, 32).abs().amax(1) / 127
    assert ((before - after).abs().reshape(-1, 32).amax(1) <= step * 0.51 + 1e-3).all()


@pytest.mark.parametrize("kind", SHAPES)
def test_settings_and_tensors_are_those_that_llama_cpp_computed_the_same_logits_from(tmp_path: Path, prompts: Renderer, kind: str) -> None:  # fmt: skip
    made = model(kind)
    gguf.write(tmp_path / "a.gguf", made, prompts, "float32", "a")
    found = facts(tmp_path / "a.gguf")
    assert found["architecture"] == GOLDEN[kind]["architecture"]
    assert found["settings"] == GOLDEN[kind]["settings"]
    assert found["tensors"] == GOLDEN[kind]["tensors"]


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("storage", ["float32", "q8_0"])
def test_a_file_read_back_holds_every_weight(tmp_path: Path, prompts: Renderer, kind: str, storage: merge.Storage) -> None:  # fmt: skip
    made = model(kind)
    gguf.write(tmp_path / "a.gguf", made, prompts, storage, "a")
    gguf.round_weights(made, storage)
    gguf.check_written(tmp_path / "a.gguf", made, storage)
    for name, weight in made.named_parameters():
        if name.endswith(
            ("k_proj.weight", "c_attn.weight", "query_key_value.weight", "qkv_proj.weight", "norm.weight")
        ):
            with torch.no_grad():
                weight[:2] = weight[:2].flip(0)  # two rows change places
            with pytest.raises(QualityError, match="does not hold the model"):
                gguf.check_written(tmp_path / "a.gguf", made, storage)
            return
    pytest.fail(f"{kind} has no such weight")


def test_a_file_with_a_tensor_too_few_is_told(tmp_path: Path, prompts: Renderer) -> None:
    gguf.write(tmp_path / "a.gguf", model("llama"), prompts, "float32", "a")
    with pytest.raises(QualityError, match=r"blk\.0\.attn_k\.bias"):
        gguf.check_written(tmp_path / "a.gguf", model("llama with biases"), "float32")


@pytest.mark.slow
@needs_llama_cpp
@pytest.mark.parametrize("kind", SHAPES)
def test_llama_cpp_computes_the_same_logits(tmp_path: Path, prompts: Renderer, kind: str) -> None:
    gguf.write(tmp_path / "a.gguf", model(kind), prompts, "float32", "phi3" if kind == "phi3" else "a")
    assert golden.divergence(tmp_path / "a.gguf", kind) < golden.CACHE_IN_16_BITS


def test_the_file_says_how_prompts_are_made_and_where_answers_end(tmp_path: Path, prompts: Renderer) -> None:
    gguf.write(tmp_path / "a.gguf", model("llama"), prompts, "float32", "My phi3 model")
    found = fields(tmp_path / "a.gguf")
    assert found["tokenizer.chat_template"] == tiny.TEMPLATE
    assert found["tokenizer.ggml.eos_token_id"] == prompts.end_id == 2
    assert found["tokenizer.ggml.bos_token_id"] == 1
    assert found["tokenizer.ggml.add_bos_token"] is False  # the template writes it
    assert found["tokenizer.ggml.pre"] == "gpt-2"
    assert found["tokenizer.ggml.tokens"][2] == "<|end|>"
    assert found["tokenizer.ggml.token_type"][2] == library.TokenType.CONTROL
    assert "phi3" not in found["general.name"]  # llama.cpp would not load it
    assert found["llama.attention.head_count_kv"] == 2
    assert found["llama.rope.freq_base"] == 10000.0


def test_what_cannot_be_written_is_refused_with_what_can() -> None:
    with pytest.raises(UserError, match=r"(?s)'opt'.*bloom, falcon, gemma.*--as merged"):
        gguf.check(transformers.OPTConfig())
    unfit: dict[str, dict[str, Any]] = {
        "LlamaConfig": {"hidden_act": "gelu"},
        "FalconConfig": {"alibi": True},
        "GPT2Config": {"scale_attn_by_inverse_layer_idx": True},
        "Qwen2Config": {"use_sliding_window": True},
        "BloomConfig": {"apply_residual_connection_post_layernorm": True},
    }
    for name, settings in unfit.items():
        with pytest.raises(UserError, match="cannot be written as GGUF"):
            gguf.check(getattr(transformers, name)(**settings))


def test_the_context_of_mistral_ends_where_its_window_does() -> None:
    windowed = transformers.MistralConfig(max_position_embeddings=32768, sliding_window=4096)
    assert architectures.of(windowed).settings(windowed)["context_length"] == 4096


@given(heads=st.sampled_from([1, 2, 4]), size=st.sampled_from([2, 4, 8]), width=st.integers(1, 5))
def test_rotary_rows_are_moved_and_none_is_lost(heads: int, size: int, width: int) -> None:
    layout = architectures.SUPPORTED["llama"].laid_out
    shape = transformers.LlamaConfig(hidden_size=heads * size, num_attention_heads=heads, num_key_value_heads=heads)
    rows = torch.arange(heads * size * width).reshape(heads * size, width)
    moved = layout("model.layers.0.self_attn.q_proj.weight", rows, shape)
    assert sorted(moved[:, 0].tolist()) == rows[:, 0].tolist()
    for head in range(heads):  # a pair of neighbours is what were the two halves
        first, second = moved[head * size], moved[head * size + 1]
        assert (second - first).tolist() == [width * size // 2] * width
    assert torch.equal(layout("model.layers.0.self_attn.v_proj.weight", rows, shape), rows)


LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = LLAMA3.replace("{1,3}", "")
BLOOM = " ?[^(\\s|[.,!?…。，、।۔،])]+"
TEXTS = [
    "I'll sleep 1234 hours, don't YOU?  ok\n\n new\tline",
    "Größe 你好 ½ 🙂 (a.b) x_y!!",
    "  two  spaces ",
    "a'LL 2024-01-01",
]


def byte_level(steps: list[Any]) -> PreTrainedTokenizerFast:
    """A tokenizer that cuts texts by these steps, trained on a little of everything."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(steps)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=tiny.MARKS, initial_alphabet=alphabet, show_progress=False)  # fmt: skip
    bpe.train_from_iterator([*TEXTS, *tiny.SENTENCES] * 3, trainer)
    return wrapped(bpe)


def with_bytes(*, leads: bool) -> PreTrainedTokenizerFast:
    """Like Llama 2's: words begin with ▁, and letters that it does not know become bytes."""
    bpe = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    steps: list[Any] = [normalizers.Prepend("▁")] if leads else []
    bpe.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=["<unk>", *tiny.MARKS, *pieces], show_progress=False)
    bpe.train_from_iterator([*tiny.SENTENCES, "sleep well and dream"] * 3, trainer)
    spec = json.loads(bpe.to_str())
    spec["added_tokens"] = [token for token in spec["added_tokens"] if token["content"] not in pieces]
    return wrapped(Tokenizer.from_str(json.dumps(spec)))


def wrapped(bpe: Tokenizer) -> PreTrainedTokenizerFast:
    build: Any = PreTrainedTokenizerFast
    marks = {"bos_token": "<|bos|>", "eos_token": "<|end|>", "pad_token": "<|pad|>"}
    made = build(tokenizer_object=bpe, **marks, additional_special_tokens=tiny.MARKS[3:], chat_template=tiny.TEMPLATE)
    assert isinstance(made, PreTrainedTokenizerFast)
    return made


def split(pattern: str) -> list[Any]:
    cut = pre_tokenizers.Split(Regex(pattern), "isolated")
    return [cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]


WORDS = pre_tokenizers.ByteLevel(add_prefix_space=False)
CUTS: dict[str, list[Any]] = {
    "gpt-2": [WORDS],
    "smollm": [pre_tokenizers.Digits(individual_digits=True), WORDS],
    "llama-bpe": split(LLAMA3),
    "qwen2": split(QWEN),
    "bloom": split(BLOOM),
    "falcon": [
        pre_tokenizers.Punctuation("contiguous"),
        WORDS,
        pre_tokenizers.Digits(individual_digits=False),
        pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated"),
    ],
}


@pytest.mark.parametrize("name", CUTS)
def test_the_way_to_cut_texts_is_found_by_what_the_tokenizer_does(name: str) -> None:
    spec = json.loads(byte_level(CUTS[name]).backend_tokenizer.to_str())
    assert vocabulary.pre_tokenizer(spec) == name


@pytest.mark.parametrize(
    "steps",
    [
        [pre_tokenizers.ByteLevel(add_prefix_space=True)],
        split(LLAMA3.replace("{1,3}", "{1,2}")),
        [pre_tokenizers.Digits(individual_digits=False), WORDS],
    ],
    ids=["a space put before", "digits by two", "digits together"],
)
def test_a_way_to_cut_texts_that_llama_cpp_lacks_is_refused(steps: list[Any], tmp_path: Path) -> None:
    odd = renderer(byte_level(steps))
    shape: Any = config("llama")
    shape.vocab_size = 400
    with pytest.raises(UserError, match=r"(?s)does not know how it cuts texts.*--as merged"):
        vocabulary.add(library.GGUFWriter(tmp_path / "a.gguf", "llama"), odd, 400)


def test_a_tokenizer_larger_than_the_embedding_is_refused(tmp_path: Path, prompts: Renderer) -> None:
    with pytest.raises(UserError, match="entries up to 319, but the model knows only 300"):
        vocabulary.add(library.GGUFWriter(tmp_path / "a.gguf", "llama"), prompts, 300)


def write_with(tokenizer: PreTrainedTokenizerFast, path: Path) -> None:
    shape: Any = config("llama")
    shape.vocab_size = len(tokenizer) + 5  # embeddings are often padded
    made: Any = AutoModelForCausalLM.from_config(shape)  # type: ignore[no-untyped-call]
    gguf.write(path, made, renderer(tokenizer), "float32", "a")


def test_scores_repeat_the_order_of_the_merges(tmp_path: Path) -> None:
    tokenizer = with_bytes(leads=True)
    write_with(tokenizer, tmp_path / "a.gguf")
    found = fields(tmp_path / "a.gguf")
    assert found["tokenizer.ggml.model"] == "llama"
    assert found["tokenizer.ggml.add_space_prefix"] is True
    scores = dict(zip(found["tokenizer.ggml.tokens"], found["tokenizer.ggml.scores"], strict=True))
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    made = list(dict.fromkeys("".join(merge) for merge in merges))
    assert [scores[piece] for piece in made] == sorted((scores[piece] for piece in made), reverse=True)
    assert found["tokenizer.ggml.token_type"][found["tokenizer.ggml.tokens"].index("<0x0A>")] == library.TokenType.BYTE
    assert found["tokenizer.ggml.token_type"][-1] == library.TokenType.UNUSED


def made_by(name: str) -> PreTrainedTokenizerFast:
    return byte_level(CUTS[name]) if name in CUTS else with_bytes(leads=name == "bytes, ▁ first")


@pytest.mark.slow
@needs_llama_cpp
@pytest.mark.parametrize("name", [*CUTS, "bytes", "bytes, ▁ first"])
def test_llama_cpp_cuts_texts_into_the_same_ids(tmp_path: Path, name: str) -> None:
    llama: Any = importlib.import_module("llama_cpp")
    tokenizer = made_by(name)
    write_with(tokenizer, tmp_path / "a.gguf")
    read = llama.Llama(str(tmp_path / "a.gguf"), vocab_only=True, verbose=False)
    for text in [*TEXTS, *tiny.SENTENCES]:
        expected = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert read.tokenize(text.encode(), add_bos=False, special=True) == expected, text
