"""A tiny model of every architecture that can be written as GGUF, and what its file must hold."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import Any

import gguf as library
import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedModel

WIDE: dict[str, Any] = {
    "vocab_size": 320, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 128, "initializer_range": 0.3, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
GROUPED = {**WIDE, "num_key_value_heads": 2}
FALCON = {
    "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_hidden_size": 256,
    "parallel_attn": True, "bias": False, "alibi": False, "initializer_range": 0.3, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
SLOWED = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", GROUPED),
    "llama 3.1": ("LlamaConfig", {**GROUPED, "rope_parameters": SLOWED}),
    "llama with biases": ("LlamaConfig", {**GROUPED, "attention_bias": True, "tie_word_embeddings": True}),
    "mistral": ("MistralConfig", {**GROUPED, "sliding_window": None}),
    "qwen2": ("Qwen2Config", GROUPED),
    "qwen3": ("Qwen3Config", {**GROUPED, "head_dim": 32}),
    "gpt2": (
        "GPT2Config",
        {
            "vocab_size": 320,
            "n_embd": 64,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": 128,
            "initializer_range": 0.3,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "bloom": (
        "BloomConfig",
        {"vocab_size": 320, "hidden_size": 64, "n_layer": 2, "n_head": 4, "initializer_range": 0.3, "seq_length": 128},
    ),
    "falcon 7b": ("FalconConfig", {**FALCON, "multi_query": True, "new_decoder_architecture": False}),
    "falcon 40b": ("FalconConfig", {**FALCON, "num_kv_heads": 2, "new_decoder_architecture": True}),
    "gemma": ("GemmaConfig", {**GROUPED, "head_dim": 16}),
    "gemma2": ("Gemma2Config", {**GROUPED, "head_dim": 16, "sliding_window": 32, "query_pre_attn_scalar": 16}),
    "gemma3": ("Gemma3TextConfig", {**GROUPED, "head_dim": 16, "sliding_window": 32, "query_pre_attn_scalar": 16}),
    "phi2": ("PhiConfig", {**WIDE, "partial_rotary_factor": 0.5}),
    "phi3": ("Phi3Config", GROUPED),
}
ROWS = [[(7 * i * i + 13 * i) % 300 + 8 for i in range(60)]]


def config(kind: str) -> Any:
    name, settings = SHAPES[kind]
    return getattr(transformers, name)(**settings)


def model(kind: str) -> PreTrainedModel:
    """Every weight another number, of norms and biases too, so that a tensor in the wrong place shows.

    The numbers come from integers, so they are the same with every version of every library.
    """
    made: Any = AutoModelForCausalLM.from_config(config(kind))  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for name, weight in made.named_parameters():
            numbers = (np.arange(weight.numel(), dtype=np.uint64) + zlib.crc32(name.encode())) * 2_654_435_761 % 2**20
            scattered = torch.from_numpy((numbers.astype(np.float64) / 2**20 - 0.5).astype(np.float32))
            is_scale = weight.ndim == 1 and name.endswith("weight") and "gemma" not in kind
            weight.copy_(scattered.reshape(weight.shape) + (1.0 if is_scale else 0.0))
    assert isinstance(made, PreTrainedModel)
    made.eval()  # type: ignore[no-untyped-call]
    return made


def facts(path: Path) -> dict[str, Any]:
    """Settings and tensors of a file in float32; of tensors shape and digest, of those that are no weights the values."""
    reader = library.GGUFReader(path)
    name = reader.fields["general.architecture"].contents()
    settings = {key: shortened(field.contents()) for key, field in reader.fields.items() if key.startswith(f"{name}.")}
    tensors = {}
    for tensor in reader.tensors:
        values = np.ascontiguousarray(tensor.data, dtype="<f4")
        shown: Any = hashlib.sha256(values.tobytes()).hexdigest()[:16]
        if tensor.name == "rope_freqs.weight":  # computed, so its last digits may differ
            shown = [round(float(value), 4) for value in values.ravel()]
        tensors[tensor.name] = [tensor.shape.tolist(), shown]
    return {"architecture": name, "settings": settings, "tensors": tensors}


def shortened(value: Any) -> Any:
    """A number as it is compared: of a fraction the digits that float32 has."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
