"""A tiny model of every architecture that users are told works; random weights, strongly scattered."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PhiConfig,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)

VOCABULARY = 97
_LLAMA_LIKE: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "initializer_range": 0.2, "pad_token_id": 0, "head_dim": 8,
}  # fmt: skip
_WINDOW: dict[str, Any] = {"sliding_window": 4}
_NO_DROPOUT: dict[str, Any] = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
_FALCON: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "initializer_range": 0.2,
    "max_position_embeddings": 128,
}  # fmt: skip

CONFIGS: dict[str, Callable[[], Any]] = {
    "bloom": lambda: BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.2),
    "falcon-rotary": lambda: FalconConfig(**_FALCON, new_decoder_architecture=True, num_kv_heads=2),
    "falcon-alibi": lambda: FalconConfig(**_FALCON, alibi=True, multi_query=False),
    "gemma": lambda: GemmaConfig(**_LLAMA_LIKE),
    "gemma2": lambda: Gemma2Config(**_LLAMA_LIKE, **_WINDOW, query_pre_attn_scalar=8),
    "gemma3": lambda: Gemma3TextConfig(
        **_LLAMA_LIKE, **_WINDOW, query_pre_attn_scalar=8, final_logit_softcapping=5.0,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.2, **_NO_DROPOUT
    ),
    "gpt-neox": lambda: GPTNeoXConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
    ),
    "granite": lambda: GraniteConfig(**_LLAMA_LIKE, logits_scaling=3.0, embedding_multiplier=2.0),
    "llama": lambda: LlamaConfig(**_LLAMA_LIKE),
    "llama-tied": lambda: LlamaConfig(**_LLAMA_LIKE, tie_word_embeddings=True),
    "mistral": lambda: MistralConfig(**_LLAMA_LIKE, **_WINDOW),
    "phi": lambda: PhiConfig(**{**_LLAMA_LIKE, "num_key_value_heads": 4}, **_NO_DROPOUT),
    "phi3": lambda: Phi3Config(**_LLAMA_LIKE, **_NO_DROPOUT, **_WINDOW),
    "qwen2": lambda: Qwen2Config(**_LLAMA_LIKE, **_WINDOW, use_sliding_window=True, max_window_layers=1),
    "qwen3": lambda: Qwen3Config(**_LLAMA_LIKE),
    "smollm3": lambda: SmolLM3Config(**_LLAMA_LIKE),
}  # fmt: skip


def build(name: str, seed: int = 0) -> torch.nn.Module:
    """The model, in float32, without dropout; weights that ones would hide are scattered too."""
    torch.manual_seed(seed)
    automatic: Any = AutoModelForCausalLM  # its methods have no types
    model: torch.nn.Module = automatic.from_config(CONFIGS[name]()).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim < 2:
                weight.add_(torch.randn_like(weight) * 0.1 / math.sqrt(2))
    return model
