"""The architectures that can be written as GGUF: their settings under llama.cpp's names, and how their tensors are laid out.

Sources: the GGUF specification (ggml, docs/gguf.md) for the names of settings; llama.cpp's graphs (src/models/) for
the order of rows that they compute with. For a tiny model of each, llama.cpp computed the same logits from the file; the tests
compare settings and tensors with those of these files (tests/export/golden.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from pakar.errors import UserError

Setting = int | float | bool | str
Settings = dict[str, Setting]
Tensors = dict[str, torch.Tensor]


class Architecture(NamedTuple):
    """How one family of models becomes GGUF.

    Attributes:
        name: What llama.cpp calls it.
        settings: Configuration → settings, without the architecture's name before them.
        laid_out: (name, tensor, configuration) → the tensor as llama.cpp computes with it.
        added: Configuration → tensors that are in the file only.
        unfit: Configuration → what llama.cpp could not compute alike; None if nothing.
    """

    name: str
    settings: Callable[[Any], Settings]
    laid_out: Callable[[str, torch.Tensor, Any], torch.Tensor]
    added: Callable[[Any], Tensors] = lambda _: {}
    unfit: Callable[[Any], str | None] = lambda _: None


def of(config: Any) -> Architecture:
    """The architecture of a model by its configuration.

    Raises:
        UserError: it cannot be written as GGUF.
    """
    found = SUPPORTED.get(config.model_type)
    if found is None:
        raise UserError(f"models of the type {config.model_type!r} cannot be written as GGUF; what can: {', '.join(SUPPORTED)}",
                        next_step="export with --as merged, and convert that with llama.cpp's own program.")  # fmt: skip
    reason = found.unfit(config)
    if reason:
        raise UserError(f"this {config.model_type} model cannot be written as GGUF: {reason}",
                        next_step="export with --as merged.")  # fmt: skip
    return found


def check(config: Any) -> None:
    """Refuse an architecture that cannot be written, before anything is computed.

    Raises:
        UserError: see `of`.
    """
    of(config)


def _common(config: Any) -> Settings:
    heads = int(config.num_attention_heads)
    return {
        "context_length": int(config.max_position_embeddings),
        "embedding_length": int(config.hidden_size),
        "block_count": int(config.num_hidden_layers),
        "attention.head_count": heads,
        "attention.head_count_kv": int(getattr(config, "num_key_value_heads", None) or heads),
        "vocab_size": int(config.vocab_size),
    }


def _head_size(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _rope(config: Any) -> Mapping[str, Any]:
    """Settings of the rotary positions; of models with several kinds of layers those that see the whole context."""
    found: Mapping[str, Any] = config.rope_parameters
    whole = found.get("full_attention", found)
    return whole if isinstance(whole, Mapping) else found


def _rotary(config: Any) -> Settings:
    """Common settings, and those of rotary positions and RMS norms."""
    rope, size = _rope(config), _head_size(config)
    settings: Settings = _common(config) | {
        "feed_forward_length": int(config.intermediate_size),
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "attention.key_length": size,
        "attention.value_length": size,
        "rope.freq_base": float(rope["rope_theta"]),
        "rope.dimension_count": int(size * rope.get("partial_rotary_factor", 1.0)),
    }
    if rope.get("rope_type") == "linear":
        settings |= {"rope.scaling.type": "linear", "rope.scaling.factor": float(rope["factor"])}
    return settings


def _llama(config: Any) -> Settings:
    """Llama, and Mistral, whose window llama.cpp does not know: so its context ends where the window does."""
    settings = _rotary(config)
    window = getattr(config, "sliding_window", None)
    if window:
        settings["context_length"] = min(int(window), int(config.max_position_embeddings))
    return settings


def _rotary_halves_to_pairs(name: str, tensor: torch.Tensor, config: Any) -> torch.Tensor:
    """Rows of the query and key matrices: transformers rotates a head's first half with its second, llama.cpp neighbours."""
    counts = {"q_proj": config.num_attention_heads, "k_proj": getattr(config, "num_key_value_heads", None)}
    part = name.split(".")[-2]
    if part not in counts:
        return tensor
    heads = counts[part] or config.num_attention_heads
    halves = tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:])
    return halves.transpose(1, 2).reshape(tensor.shape)


def _llama3_factors(config: Any) -> Tensors:
    """How much slower each pair of a head turns in Llama 3.1 and later: a tensor of its own, [head size / 2]."""
    if _rope(config).get("rope_type") != "llama3":
        return {}
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS  # noqa: PLC0415 - rarely needed

    size = _head_size(config)
    plain = _rope(config)["rope_theta"] ** -(torch.arange(0, size, 2, dtype=torch.float32) / size)
    slowed, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    return {"rope_freqs.weight": plain / slowed}


def _as_it_is(_name: str, tensor: torch.Tensor, _config: Any) -> torch.Tensor:
    return tensor


def _gpt2(config: Any) -> Settings:
    width = int(config.n_embd)
    return {name: value for name, value in _common(config).items() if name != "attention.head_count_kv"} | {
        "feed_forward_length": int(config.n_inner or 4 * width),
        "attention.layer_norm_epsilon": float(config.layer_norm_epsilon),
    }


def _upright(name: str, tensor: torch.Tensor, _config: Any) -> torch.Tensor:
    """GPT-2 keeps the matrices of its layers transposed."""
    lying = name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight"))
    return tensor.T.contiguous() if lying else tensor


def _bloom(config: Any) -> Settings:
    width, heads = int(config.hidden_size), int(config.n_head)
    return {
        "context_length": int(getattr(config, "seq_length", 2048)),
        "embedding_length": width,
        "feed_forward_length": 4 * width,
        "block_count": int(config.n_layer),
        "attention.head_count": heads,
        "attention.head_count_kv": heads,
        "attention.layer_norm_epsilon": float(config.layer_norm_epsilon),
        "vocab_size": int(config.vocab_size),
    }


def _bloom_apart(name: str, tensor: torch.Tensor, config: Any) -> torch.Tensor:
    """BLOOM keeps query, key and value of each head together; llama.cpp wants all queries, all keys, all values."""
    if "query_key_value" not in name:
        return tensor
    by_head = tensor.reshape(config.n_head, 3, -1, *tensor.shape[1:])
    return by_head.transpose(0, 1).reshape(tensor.shape)


def _falcon_heads(config: Any) -> int:
    """Heads of keys and values."""
    if config.new_decoder_architecture:
        return int(config.num_kv_heads)
    return 1 if config.multi_query else int(config.num_attention_heads)


def _falcon(config: Any) -> Settings:
    context = getattr(config, "max_position_embeddings", None) or 2048
    return _common_of_falcon(config) | {"context_length": int(context)}


def _common_of_falcon(config: Any) -> Settings:
    return {
        "embedding_length": int(config.hidden_size),
        "feed_forward_length": int(getattr(config, "ffn_hidden_size", None) or 4 * config.hidden_size),
        "block_count": int(config.num_hidden_layers),
        "attention.head_count": int(config.num_attention_heads),
        "attention.head_count_kv": _falcon_heads(config),
        "attention.layer_norm_epsilon": float(config.layer_norm_epsilon),
        "rope.freq_base": float(_rope(config)["rope_theta"]),
        "vocab_size": int(config.vocab_size),
        "tensor_data_layout": "jploski",
    }


def _falcon_apart(name: str, tensor: torch.Tensor, config: Any) -> torch.Tensor:
    """Falcon keeps each group's queries with their key and value; llama.cpp wants all queries, all keys, all values."""
    if "query_key_value" not in name:
        return tensor
    groups, heads = _falcon_heads(config), int(config.num_attention_heads)
    grouped = tensor.reshape(groups, heads // groups + 2, config.hidden_size // heads, *tensor.shape[1:])
    rest = tensor.shape[1:]
    parts = (grouped[:, :-2], grouped[:, -2], grouped[:, -1])
    return torch.cat([part.reshape(-1, *rest) for part in parts])


def _gemma2(config: Any) -> Settings:
    return _rotary(config) | {
        "attn_logit_softcapping": float(config.attn_logit_softcapping or 0.0),
        "final_logit_softcapping": float(config.final_logit_softcapping or 0.0),
        "attention.sliding_window": int(config.sliding_window),
    }


def _gemma3(config: Any) -> Settings:
    return _rotary(config) | {"attention.sliding_window": int(config.sliding_window)}


def _norms_from_one(name: str, tensor: torch.Tensor, _config: Any) -> torch.Tensor:
    """Gemma keeps its norms' scales as the difference from one."""
    return tensor + 1 if name.endswith("norm.weight") else tensor


def _phi3(config: Any) -> Settings:
    rope = _rope(config)
    original = rope.get("original_max_position_embeddings") or config.max_position_embeddings
    window = getattr(config, "sliding_window", None) or 0
    return _rotary(config) | {
        "rope.scaling.original_context_length": int(original),
        "attention.sliding_window": int(window),
    }


def _phi2(config: Any) -> Settings:
    rope = _rope(config)
    return _common(config) | {
        "feed_forward_length": int(config.intermediate_size),
        "attention.layer_norm_epsilon": float(config.layer_norm_eps),
        "rope.dimension_count": int(_head_size(config) * rope.get("partial_rotary_factor", 1.0)),
        "rope.freq_base": float(rope["rope_theta"]),
    }


def _unknown_rope(config: Any, *known: str) -> str | None:
    kind = _rope(config).get("rope_type", "default")
    return None if kind in ("default", *known) else f"its rotary positions are of the kind {kind!r}"


def _other_activation(config: Any, *known: str) -> str | None:
    found = next(getattr(config, name) for name in ("hidden_activation", "activation_function", "hidden_act", "activation") if getattr(config, name, None))  # fmt: skip
    return None if found in known else f"its activation is {found!r}, where llama.cpp computes {known[0]!r}"


def _unfit_llama(config: Any) -> str | None:
    return _other_activation(config, "silu") or _unknown_rope(config, "linear", "llama3")


def _unfit_qwen(config: Any) -> str | None:
    windows = getattr(config, "use_sliding_window", False)
    return (
        ("some of its layers see a window only" if windows else None)
        or _other_activation(config, "silu")
        or _unknown_rope(config, "linear")
    )


def _unfit_gpt2(config: Any) -> str | None:
    if config.scale_attn_by_inverse_layer_idx or not config.scale_attn_weights:
        return "its attention is scaled in another way"
    return _other_activation(config, "gelu_new", "gelu_pytorch_tanh")


def _unfit_bloom(config: Any) -> str | None:
    return "its residuals are taken after the norms" if config.apply_residual_connection_post_layernorm else None


def _unfit_falcon(config: Any) -> str | None:
    if config.alibi or config.bias or not config.parallel_attn:
        return "only Falcons with rotary positions, parallel attention and no biases can"
    return _unknown_rope(config)


def _unfit_gemma(config: Any) -> str | None:
    return _other_activation(config, "gelu_pytorch_tanh", "gelu_new", "gelu") or _unknown_rope(config)


def _unfit_gemma3(config: Any) -> str | None:
    kinds = [kind == "full_attention" for kind in config.layer_types]
    expected = [(layer + 1) % 6 == 0 for layer in range(len(kinds))]
    if kinds != expected:
        return "llama.cpp lets every sixth layer see the whole context, which is not so in this model"
    return _other_activation(config, "gelu_pytorch_tanh") or _unknown_rope(config, "linear")


def _unfit_phi(config: Any) -> str | None:
    return _unknown_rope(config)


SUPPORTED: Mapping[str, Architecture] = {
    "bloom": Architecture("bloom", _bloom, _bloom_apart, unfit=_unfit_bloom),
    "falcon": Architecture("falcon", _falcon, _falcon_apart, unfit=_unfit_falcon),
    "gemma": Architecture("gemma", _rotary, _norms_from_one, unfit=_unfit_gemma),
    "gemma2": Architecture("gemma2", _gemma2, _norms_from_one, unfit=_unfit_gemma),
    "gemma3_text": Architecture("gemma3", _gemma3, _norms_from_one, unfit=_unfit_gemma3),
    "gpt2": Architecture("gpt2", _gpt2, _upright, unfit=_unfit_gpt2),
    "llama": Architecture("llama", _llama, _rotary_halves_to_pairs, _llama3_factors, _unfit_llama),
    "mistral": Architecture("llama", _llama, _rotary_halves_to_pairs, unfit=_unfit_llama),
    "phi": Architecture("phi2", _phi2, _as_it_is, unfit=_unfit_phi),
    "phi3": Architecture("phi3", _phi3, _as_it_is, unfit=_unfit_phi),
    "qwen2": Architecture("qwen2", _rotary, _as_it_is, unfit=_unfit_qwen),
    "qwen3": Architecture("qwen3", _rotary, _as_it_is, unfit=_unfit_qwen),
}
"""By the `model_type` of their configuration."""
