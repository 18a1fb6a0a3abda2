"""Real layouts pass: what transformers and PEFT write is accepted, and still loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from pakar import recipe
from pakar.errors import UserError
from pakar.models import base, intake, versions
from pakar.models.intake import adapter, configs, finding, weights
from tests import tiny

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}  # fmt: skip
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "gpt2": GPT,
    "gpt_neox": {key: SMALL[key] for key in [*SMALL][:4]},
    "gpt_bigcode": GPT,
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "opt": {
        "hidden_size": 32,
        "ffn_dim": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "word_embed_proj_dim": 16,
    },
    "llama": SMALL,
    "falcon": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_hidden_size": 64},
    "mistral": SMALL,
    "mixtral": SMALL | {"num_local_experts": 2},
    "qwen2": SMALL,
    "qwen3": SMALL,
    "qwen3_moe": SMALL | {"num_experts": 4, "moe_intermediate_size": 16},
    "gemma": SMALL,
    "gemma2": SMALL,
    "gemma3_text": SMALL,
    "phi": {key: SMALL[key] for key in [*SMALL][:4]},
    "phi3": SMALL,
    "smollm3": SMALL,
    "olmo2": SMALL,
    "granite": SMALL,
    "stablelm": SMALL,
}
"""Model type → sizes of a tiny model."""


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("shard", ["1GB", "8KB"], ids=["one file", "shards"])
def test_models_as_transformers_saves_them_pass(tmp_path: Path, kind: str, shard: str) -> None:
    sizes = {"vocab_size": 320, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2} | ARCHITECTURES[kind]
    config = AutoConfig.for_model(kind, **sizes)
    model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
    model.save_pretrained(tmp_path, max_shard_size=shard)
    tiny.tokenizer().save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shard == "8KB")
    found = base.find(recipe.Model(base=str(tmp_path)))
    assert found.fingerprint


@pytest.mark.parametrize("spelling", ["PreTrainedTokenizerFast", "GPT2Tokenizer", "GPT2TokenizerFast", "LlamaTokenizerFast",
                                      "BloomTokenizerFast", "GemmaTokenizer", "Qwen2Tokenizer", "CodeGenTokenizer",
                                      "TokenizersBackend", "BertTokenizer"])  # fmt: skip
def test_tokenizers_of_every_age_pass(tiny_base: Path, tmp_path: Path, spelling: str) -> None:
    config = json.loads((tiny_base / "tokenizer_config.json").read_text())
    config |= {
        "tokenizer_class": spelling,
        "name_or_path": "/home/somebody/model",
        "special_tokens_map_file": "/root/.cache/huggingface/special_tokens_map.json",
        "vocab_file": None,
        "added_tokens_decoder": {"0": {"content": "__init__", "special": True}, "1": {"__type": "AddedToken"}},
        "bos_token": {"__type": "AddedToken", "content": "<s>"},
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "added_tokens.json").write_text('{"auto_map": 3, "__class__": 4}')  # tokens may be any text
    (tmp_path / "special_tokens_map.json").write_text('{"eos_token": "</s>"}')
    assert [*configs.tokenizer(tmp_path)] == []


def test_the_starter_passes_the_check_that_strangers_pass() -> None:
    assert intake.findings(base.STARTER) == []


def test_what_is_fetched_from_a_hub_is_what_is_read() -> None:
    from huggingface_hub.utils._paths import filter_repo_objects  # noqa: PLC0415

    there = [
        "64.tflite", "README.md", "config.json", "flax_model.msgpack", "generation_config.json", "merges.txt",
        "model.safetensors", "onnx/config.json", "onnx/decoder_model.onnx", "onnx/tokenizer.json", "pytorch_model.bin",
        "rust_model.ot", "tf_model.h5", "tokenizer.json", "tokenizer_config.json", "vocab.json",
        "consolidated.safetensors", "original/params.json", "model.fp16.safetensors", "model.safetensors.index.json",
        "model-00001-of-00002.safetensors", "model_00001-of-00072.safetensors", "modeling_phi3.py", "tokenizer.model",
        "chat_template.jinja", "additional_chat_templates/rag.jinja", "preprocessor_config.json", "pytorch_model.bin.index.json",
    ]  # fmt: skip
    assert sorted(filter_repo_objects(there, allow_patterns=intake.fetched())) == sorted([
        "README.md", "config.json", "generation_config.json", "merges.txt", "model.safetensors", "tokenizer.json",
        "tokenizer_config.json", "vocab.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors",
        "model_00001-of-00072.safetensors", "tokenizer.model", "chat_template.jinja", "additional_chat_templates/rag.jinja",
    ])  # fmt: skip


# Whatever bytes come, nothing but findings comes out

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from([
    "auto_map", "model_type", "vocab_size", "hidden_size", "n_embd", "num_hidden_layers", "quantization_config",
    "quant_method", "_attn_implementation", "use_kernels", "text_config", "tokenizer_class", "fast_tokenizer_files",
    "vocab_file", "init_inputs", "added_tokens_decoder", "peft_type", "base_model_name_or_path", "auto_mapping",
    "parent_library", "r", "lora_alpha", "init_lora_weights", "megatron_core", "word_embed_proj_dim", "chat_template",
])  # fmt: skip
CONFIGS = st.dictionaries(KEYS, JSON | st.dictionaries(KEYS, JSON, max_size=4), max_size=8)
BUSY = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(raw=st.binary(max_size=200), length=st.none() | st.integers(0, 2**64 - 1))
@BUSY
def test_any_bytes_as_safetensors_end_in_findings_or_tensors(tmp_path: Path, raw: bytes, length: int | None) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes((len(raw) if length is None else length).to_bytes(8, "little") + raw)
    tensors, wrong = weights.header(path)
    assert wrong or isinstance(tensors, dict)
    assert all(str(one).isprintable() for one in wrong)


ENTRIES = st.fixed_dictionaries({
    "dtype": st.sampled_from(["F32", "BF16", "F8_E4M3", "X"]) | JSON,
    "shape": st.lists(st.integers(-1, 4), max_size=3) | JSON,
    "data_offsets": st.lists(st.integers(-1, 20), min_size=2, max_size=2) | JSON,
})  # fmt: skip


@given(header=st.dictionaries(st.text(max_size=6), ENTRIES | JSON, max_size=3), tail=st.integers(0, 40))
@BUSY
def test_a_header_that_passes_is_one_that_the_library_loads(tmp_path: Path, header: dict[str, Any], tail: int) -> None:
    from safetensors.torch import load_file  # noqa: PLC0415

    raw = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(tail))
    tensors, wrong = weights.header(path)
    if not wrong:
        assert {name: tuple(one.shape) for name, one in load_file(path).items()} == {
            n: t.shape for n, t in tensors.items()
        }


@given(config=CONFIGS)
@BUSY
def test_any_configuration_ends_in_findings(tmp_path: Path, config: dict[str, Any]) -> None:
    for name in ("config.json", "generation_config.json", "tokenizer_config.json", "adapter_config.json"):
        (tmp_path / name).write_text(json.dumps(config))
    found = [
        *configs.model(tmp_path, {"a": weights.Tensor("F32", (320, 32), 0, 40_960)}),
        *configs.generation(tmp_path),
        *configs.tokenizer(tmp_path),
        *adapter.findings(tmp_path, ("starter",)),
    ]
    assert found
    assert all(str(one).isprintable() for one in found)
    assert ("auto_map" in config) <= any(one.key == "auto_map" for one in found)


@given(raw=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
@BUSY
def test_any_bytes_as_json_end_in_an_object_or_findings(raw: bytes) -> None:
    value, wrong = finding.parse(raw, "x.json")
    assert (value is None) == bool(wrong)


# Versions


def test_installed_libraries_are_those_declared() -> None:
    versions.check()


def test_libraries_that_are_too_old_too_new_or_missing_are_named() -> None:
    declared = [
        "torch>=2.10",
        "transformers>=5.3",
        "polars>=2,<3",
        "peft>=0.18",
        "safetensors>=0.6; python_version < '3'",
    ]
    installed = {"torch": "2.9.1+cu128", "transformers": "5.3.0", "peft": None, "polars": "3.0.1", "safetensors": "0.1"}
    assert [one.name for one in versions.unmet(declared, installed)] == ["torch", "polars", "peft"]
    assert versions.unmet(["torch>=2.10"], {"torch": "2.10.0.dev20260101+cpu"})
    assert versions.unmet(["torch>=2.10"], {"torch": "2.13.0+cpu"}) == []


def test_an_old_library_is_told_before_a_model_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "_version", lambda name: "2.6.0" if name == "torch" else "99")
    with pytest.raises(UserError, match=r"torch 2\.6\.0; expected >=2\.10\n  Next: type `pip install 'torch>=2\.10'`"):
        base.find(recipe.Model())
