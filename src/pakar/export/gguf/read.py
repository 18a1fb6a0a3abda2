"""Read a GGUF file back, and compare it with the model that it was written from, tensor by tensor.

The way back is stated here by itself, family by family, and not derived from `architectures`: a fault in the layout shows as
a tensor that is another one when it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import torch
from gguf import GGMLQuantizationType as Kind
from transformers import PreTrainedModel

from pakar.errors import QualityError
from pakar.export.gguf import architectures
from pakar.export.gguf.write import planned
from pakar.models.merge import Storage

_LAST_DIGIT = 2.0**-23
"""Gemma's norms are stored as one more than they are; adding and taking away one costs the last digit of a float32."""

_READ_BY_TRANSFORMERS = ("bloom", "falcon", "llama", "phi3", "qwen2")


def check(path: Path, model: PreTrainedModel, storage: Storage) -> None:
    """Compare every tensor of a file with the weight that it should hold.

    Args:
        path: What `write` wrote.
        model: With the weights of `round_weights`.
        storage: Number format of the matrices.

    Raises:
        QualityError: a tensor is missing, or there is one too many, or one is not the model's.
    """
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    expected = {tensor.name: tensor.source for tensor in planned(model, storage)}
    names = {*expected, *architectures.of(model.config).added(model.config)}
    wrong = sorted(stored.keys() ^ names)
    for name, source in expected.items():
        if name in stored and not _holds(stored[name], source, model):
            wrong.append(name)
    if wrong:
        raise QualityError(f"the GGUF file, read back, does not hold the model: {', '.join(wrong[:5])}",
                           next_step="this is a fault in Pakar; please report it, and export with --as merged meanwhile.")  # fmt: skip


def readable_by_transformers(config: Any) -> bool:
    """Whether transformers computes from a file of this model what the model computes.

    It loses slowed positions, biases of Llama's attention, heads that are not as wide as their share, and soft caps; it
    takes new Falcons for old ones, and does not know every architecture.
    """
    if config.model_type not in _READ_BY_TRANSFORMERS:
        return False
    rope = getattr(config, "rope_parameters", None) or {}
    share = config.hidden_size // config.num_attention_heads
    lost = (
        rope.get("rope_type", "default") != "default",
        rope.get("partial_rotary_factor", 1.0) != 1,
        (getattr(config, "head_dim", None) or share) != share,
        getattr(config, "attention_bias", False) or getattr(config, "mlp_bias", False),
        getattr(config, "new_decoder_architecture", False),
        (getattr(config, "ffn_hidden_size", None) or 4 * config.hidden_size) != 4 * config.hidden_size,
    )
    return not any(lost)


def _holds(stored: gguf.ReaderTensor, source: str, model: PreTrainedModel) -> bool:
    weight = model.get_parameter(source).detach().float()
    read = torch.from_numpy(gguf.dequantize(stored.data, stored.tensor_type).copy())
    if read.numel() != weight.numel():
        return False
    restore = _RESTORED.get(model.config.model_type, _as_it_is)
    restored = restore(source, read, model.config).reshape(weight.shape)
    if stored.tensor_type == Kind.F32:
        return torch.allclose(restored, weight, rtol=_LAST_DIGIT, atol=_LAST_DIGIT)
    return torch.equal(restored, weight)


def _as_it_is(_name: str, tensor: torch.Tensor, _config: Any) -> torch.Tensor:
    return tensor


def _pairs_to_halves(name: str, tensor: torch.Tensor, config: Any) -> torch.Tensor:
    """Llama and Mistral: of each head first what is rotated as the first of a pair, then what is the second."""
    part = name.split(".")[-2]
    if part not in ("q_proj", "k_proj"):
        return tensor
    grouped = getattr(config, "num_key_value_heads", None)
    heads = grouped if part == "k_proj" and grouped else config.num_attention_heads
    by_head = tensor.reshape(heads, -1, *tensor.shape[1:])
    return torch.cat([by_head[:, 0::2], by_head[:, 1::2]], dim=1).reshape(tensor.shape)


def _lying(name: str, tensor: torch.Tensor, _config: Any) -> torch.Tensor:
    """GPT-2: the matrices of its layers are transposed."""
    in_layer = ".h." in f".{name}" and tensor.ndim == 2
    return tensor.T if in_layer else tensor


def _bloom_together(name: str, tensor: torch.Tensor, config: Any) -> torch.Tensor:
    """BLOOM: query, key and value of each head together."""
    if "query_key_value" not in name:
        return tensor
    parts = [part.reshape(config.n_head, -1, *tensor.shape[1:]) for part in tensor.chunk(3)]
    return torch.cat(parts, dim=1).reshape(tensor.shape)


def _falcon_together(name: str, tensor: torch.Tensor, config: Any) -> torch.Tensor:
    """Falcon: the queries of each group together with their key and value."""
    if "query_key_value" not in name:
        return tensor
    size = config.hidden_size // config.num_attention_heads
    groups = (tensor.shape[0] // size - config.num_attention_heads) // 2
    parts = torch.split(tensor, [config.hidden_size, groups * size, groups * size])
    return torch.cat([part.reshape(groups, -1, *tensor.shape[1:]) for part in parts], dim=1).reshape(tensor.shape)


def _norms_from_zero(name: str, tensor: torch.Tensor, _config: Any) -> torch.Tensor:
    """Gemma: the scales of norms are what is added to one."""
    return tensor - 1 if name.split(".")[-2].endswith("norm") else tensor


_RESTORED: Mapping[str, Callable[[str, torch.Tensor, Any], torch.Tensor]] = {
    "bloom": _bloom_together,
    "falcon": _falcon_together,
    "gemma": _norms_from_zero,
    "gemma2": _norms_from_zero,
    "gemma3_text": _norms_from_zero,
    "gpt2": _lying,
    "llama": _pairs_to_halves,
    "mistral": _pairs_to_halves,
}
"""By the `model_type` of their configuration: tensor of the file → tensor of the model. The others are stored as they are."""
