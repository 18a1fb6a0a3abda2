"""Models of every supported architecture: tiny ones to train, and the true shapes of published ones, without weights."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

_LLAMA = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128, "head_dim": 16}
_SIZES = {
    "vocab_size": 320,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_FALCON = {**_SIZES, "model_type": "falcon", "num_attention_heads": 4, "alibi": False}
TINY: dict[str, dict[str, Any]] = {
    "gpt2": {"model_type": "gpt2", "vocab_size": 320, "n_positions": 64, "n_embd": 64, "n_layer": 2, "n_head": 4},
    "bloom": {"model_type": "bloom", "vocab_size": 320, "hidden_size": 64, "n_layer": 2, "n_head": 4},
    "llama": {**_SIZES, **_LLAMA, "model_type": "llama"},
    "smollm": {**_SIZES, **_LLAMA, "model_type": "llama", "tie_word_embeddings": True},
    "falcon-7b": {**_FALCON, "multi_query": True, "parallel_attn": True, "bias": False},
    "falcon-40b": {**_FALCON, "new_decoder_architecture": True, "num_kv_heads": 2, "bias": False},
    "mistral": {**_SIZES, **_LLAMA, "model_type": "mistral"},
    "qwen2": {**_SIZES, **_LLAMA, "model_type": "qwen2"},
    "qwen3": {**_SIZES, **_LLAMA, "model_type": "qwen3"},
    "gemma": {**_SIZES, **_LLAMA, "model_type": "gemma"},
    "gemma2": {**_SIZES, **_LLAMA, "model_type": "gemma2"},
    "gemma3": {**_SIZES, **_LLAMA, "model_type": "gemma3_text"},
    "phi": {**_SIZES, "model_type": "phi", "num_attention_heads": 4, "intermediate_size": 128},
    "phi3": {**_SIZES, "model_type": "phi3", "num_attention_heads": 4, "intermediate_size": 128},
}


def tiny(architecture: str, seed: int = 0) -> PreTrainedModel:
    """Two layers of width 64, with random weights."""
    torch.manual_seed(seed)
    return _build(TINY[architecture])


@cache
def published() -> dict[str, dict[str, Any]]:
    """Name → configuration and number of parameters of models as they were published."""
    known: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "configurations.json").read_text())
    return known


def hollow(name: str) -> PreTrainedModel:
    """A published model in its true shape, without memory for its weights."""
    with torch.device("meta"):
        return _build(published()[name]["config"])


def _build(config: dict[str, Any]) -> PreTrainedModel:
    model: Any = AutoModelForCausalLM
    built = model.from_config(AutoConfig.for_model(**config))
    assert isinstance(built, PreTrainedModel)
    return built
