"""Llama models with random weights, made on the device block by block, and token shards of random tokens."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from pakar import shards
from pakar.models import quantise

_GROUPED = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False, "rms_norm_eps": 1e-5}
SHAPES: dict[str, dict[str, Any]] = {
    "llama-3-8b": {
        **_GROUPED, "vocab_size": 128_256, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14_336, "max_position_embeddings": 8192,
    },
    "small": {
        **_GROUPED, "vocab_size": 32_000, "hidden_size": 512, "num_hidden_layers": 4, "num_attention_heads": 8,
        "num_key_value_heads": 4, "intermediate_size": 1536, "max_position_embeddings": 8192,
    },
    "tiny": {
        **_GROUPED, "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 128, "max_position_embeddings": 512,
    },
}  # fmt: skip


def build(shape: str, device: torch.device, dtype: torch.dtype, layer: Callable[[nn.Linear], nn.Module] | None = None) -> LlamaForCausalLM:  # fmt: skip
    """A model of that shape on the device. With `layer`, every linear layer of a block is replaced by what that makes of
    it before the next block is made, so that only one block is ever there in full."""
    config = LlamaConfig(**SHAPES[shape], dtype=dtype)
    config.rope_parameters = {"rope_type": "default", "rope_theta": 500_000.0}
    blocks, config.num_hidden_layers = config.num_hidden_layers, 0
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config)
            config.num_hidden_layers = blocks
            for number in range(blocks):
                block = LlamaDecoderLayer(config, number)
                model.model.layers.append(_replaced(block, layer) if layer else block)
    finally:
        torch.set_default_dtype(before)
    model.requires_grad_(requires_grad=False)
    model.eval()  # type: ignore[no-untyped-call]
    return model


def in_4_bits(kind: type[Any], compute: torch.dtype) -> Callable[[nn.Linear], nn.Module]:
    """Makes bitsandbytes' NF4 layers, with double quantisation, out of linear ones; `kind` is its class, or ours."""
    bnb: Any = quantise.library()

    def quantised(linear: nn.Linear) -> nn.Module:
        made = bnb.nn.Linear4bit(
            linear.in_features, linear.out_features, bias=False, compute_dtype=compute, quant_type="nf4", device="meta"
        )
        weight = bnb.nn.Params4bit(
            linear.weight.data, requires_grad=False, compress_statistics=True, quant_type="nf4", module=made
        )
        made.weight = weight.to(linear.weight.device)
        whole: nn.Module = made if kind is bnb.nn.Linear4bit else kind.like(made)
        return whole

    return quantised


def _replaced(block: nn.Module, layer: Callable[[nn.Linear], nn.Module]) -> nn.Module:
    for name, module in list(block.named_modules()):
        if isinstance(module, nn.Linear):
            block.set_submodule(name, layer(module))
    return block


def tokens(vocabulary: int, count: int, length: int) -> list[list[int]]:
    """So many texts of random tokens, the same in every process."""
    found: list[list[int]] = np.random.default_rng(0).integers(3, vocabulary, (count, length)).tolist()
    return found


def write_shards(directory: Path, texts: list[list[int]]) -> shards.TokenShards:
    """Shards in which every token carries loss."""
    directory.mkdir(parents=True, exist_ok=True)
    rows = [(str(number), text, [1] * len(text)) for number, text in enumerate(texts)]
    shards.write(directory / shards.SHARD_NAME.format(0), rows)
    return shards.TokenShards(directory)


def operations_per_token(shape: str, rank: int, length: float) -> float:
    """FLOP that one token of LoRA training needs, nothing computed twice (Kaplan et al. 2020, section 2.1, for frozen weights).

    4 for every frozen weight of a matrix (forward, and the gradient by its input; none by the weight), 6 for every number of
    the additions, 4 for the output matrix, and for attention over examples of `length` tokens, of which half is masked,
    6 · length · width in every layer. Embeddings are looked up, not multiplied.
    """
    told = SHAPES[shape]
    width, inner, layers = told["hidden_size"], told["intermediate_size"], told["num_hidden_layers"]
    keys = width * told["num_key_value_heads"] // told["num_attention_heads"]
    matrices = [
        (width, width),
        (width, keys),
        (width, keys),
        (width, width),
        (width, inner),
        (width, inner),
        (inner, width),
    ]
    frozen = sum(math.prod(sides) for sides in matrices)
    added = sum(rank * sum(sides) for sides in matrices)
    return float(layers * (4 * frozen + 6 * added + 6 * length * width) + 4 * width * told["vocab_size"])
