"""Sizes of well-known base models, so that a training can be planned where neither weights nor a network are at hand.

Facts only: what their published `config.json` say about shapes. Every entry is tested against the published number of
parameters. Names are hub ids; a name without its owner is understood too (`Meta-Llama-3-8B`). Somebody else's model of the
same name is another model.
"""

from __future__ import annotations

from typing import Any, NamedTuple

OWNERS = frozenset({
    "", "bigscience", "google", "huggingfacetb", "meta-llama", "microsoft", "mistralai", "nousresearch", "openai-community",
    "qwen", "tiiuae", "unsloth",
})  # fmt: skip
"""Who publishes these models, or copies of them, under these names; lower case."""


class Known(NamedTuple):
    """One model.

    Attributes:
        parameters: As published; tied weights count once.
        shape: Keyword arguments of its transformers configuration, `model_type` among them.
    """

    parameters: int
    shape: dict[str, Any]


def known(name: str) -> Known | None:
    """The model of this name, if it is one of the well-known ones.

    >>> known("gpt2").parameters
    124439808
    """
    owner, _, model = name.lower().rpartition("/")
    return _MODELS.get(model) if owner in OWNERS else None


def names() -> list[str]:
    """Names of all of them, lower case, without their owners."""
    return sorted(_MODELS)


def _gpt2(parameters: int, *, width: int, layers: int, heads: int) -> Known:
    shape = {"n_embd": width, "n_layer": layers, "n_head": heads, "n_positions": 1024, "vocab_size": 50257}
    return Known(parameters, {"model_type": "gpt2", **shape})


def _bloom(parameters: int, *, width: int, layers: int, heads: int) -> Known:
    shape = {"hidden_size": width, "n_layer": layers, "n_head": heads, "seq_length": 2048, "vocab_size": 250880}
    return Known(parameters, {"model_type": "bloom", **shape})


def _gated(kind: str, parameters: int, sizes: tuple[int, ...], *, context: int, **more: Any) -> Known:
    """A decoder with gated layers. `sizes`: vocabulary, width, inner width, layers, heads, heads of keys and values."""
    keys = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")  # fmt: skip
    tied = {"tie_word_embeddings": kind.startswith("gemma"), "max_position_embeddings": context}
    return Known(parameters, {"model_type": kind, **dict(zip(keys, sizes, strict=True)), **tied, **more})


_GPT2 = _gpt2(124_439_808, width=768, layers=12, heads=12)
_GPT2_MEDIUM = _gpt2(354_823_168, width=1024, layers=24, heads=16)
_GPT2_LARGE = _gpt2(774_030_080, width=1280, layers=36, heads=20)
_LLAMA2_7B = _gated("llama", 6_738_415_616, (32000, 4096, 11008, 32, 32, 32), context=4096)
_LLAMA2_13B = _gated("llama", 13_015_864_320, (32000, 5120, 13824, 40, 40, 40), context=4096)
_LLAMA3_SIZES = (128256, 4096, 14336, 32, 32, 8)
_LLAMA3_8B = _gated("llama", 8_030_261_248, _LLAMA3_SIZES, context=8192)
_LLAMA31_8B = _gated("llama", 8_030_261_248, _LLAMA3_SIZES, context=131072)
_LLAMA32_1B = _gated("llama", 1_235_814_400, (128256, 2048, 8192, 16, 32, 8), context=131072, tie_word_embeddings=True)
_LLAMA32_3B = _gated("llama", 3_212_749_824, (128256, 3072, 8192, 28, 24, 8), context=131072, tie_word_embeddings=True)
_MISTRAL_01 = _gated("mistral", 7_241_732_096, (32000, 4096, 14336, 32, 32, 8), context=32768, sliding_window=4096)
_MISTRAL_03 = _gated("mistral", 7_248_023_552, (32768, 4096, 14336, 32, 32, 8), context=32768, sliding_window=None)
_QWEN_05B = _gated("qwen2", 494_032_768, (151936, 896, 4864, 24, 14, 2), context=32768, tie_word_embeddings=True)
_QWEN_15B = _gated("qwen2", 1_543_714_304, (151936, 1536, 8960, 28, 12, 2), context=32768, tie_word_embeddings=True)
_QWEN_3B = _gated("qwen2", 3_085_938_688, (151936, 2048, 11008, 36, 16, 2), context=32768, tie_word_embeddings=True)
_QWEN_7B = _gated("qwen2", 7_615_616_512, (152064, 3584, 18944, 28, 28, 4), context=32768)
_GEMMA_2B = _gated("gemma", 2_506_172_416, (256000, 2048, 16384, 18, 8, 1), context=8192, head_dim=256)
_GEMMA_7B = _gated("gemma", 8_537_680_896, (256000, 3072, 24576, 28, 16, 16), context=8192, head_dim=256)
_GEMMA2_2B = _gated("gemma2", 2_614_341_888, (256000, 2304, 9216, 26, 8, 4), context=8192, head_dim=256)
_PHI_15 = _gated("phi", 1_418_270_720, (51200, 2048, 8192, 24, 32, 32), context=2048, partial_rotary_factor=0.5)
_PHI_2 = _gated("phi", 2_779_683_840, (51200, 2560, 10240, 32, 32, 32), context=2048, partial_rotary_factor=0.4)
_PHI_3_MINI = _gated("phi3", 3_821_079_552, (32064, 3072, 8192, 32, 32, 32), context=4096, pad_token_id=32000)
_SMOL_135M = _gated("llama", 134_515_008, (49152, 576, 1536, 30, 9, 3), context=8192, tie_word_embeddings=True)
_SMOL_360M = _gated("llama", 361_821_120, (49152, 960, 2560, 32, 15, 5), context=8192, tie_word_embeddings=True)
_SMOL_17B = _gated("llama", 1_711_376_384, (49152, 2048, 8192, 24, 32, 32), context=8192, tie_word_embeddings=True)
_FALCON_SHAPE = {"vocab_size": 65024, "hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71,
                 "multi_query": True, "parallel_attn": True, "bias": False, "alibi": False, "new_decoder_architecture": False}  # fmt: skip
_FALCON_7B = Known(6_921_720_704, {"model_type": "falcon", "max_position_embeddings": 2048, **_FALCON_SHAPE})

_MODELS: dict[str, Known] = {
    "gpt2": _GPT2,
    "gpt2-medium": _GPT2_MEDIUM,
    "gpt2-large": _GPT2_LARGE,
    "gpt2-xl": _gpt2(1_557_611_200, width=1600, layers=48, heads=25),
    "dialogpt-small": _GPT2,
    "dialogpt-medium": _GPT2_MEDIUM,
    "dialogpt-large": _GPT2_LARGE,
    **{f"{family}-{size}": model for family in ("bloom", "bloomz") for size, model in {
        "560m": _bloom(559_214_592, width=1024, layers=24, heads=16),
        "1b1": _bloom(1_065_314_304, width=1536, layers=24, heads=16),
        "3b": _bloom(3_002_557_440, width=2560, layers=30, heads=32),
        "7b1": _bloom(7_069_016_064, width=4096, layers=30, heads=32),
    }.items()},
    "llama-2-7b-hf": _LLAMA2_7B,
    "llama-2-7b-chat-hf": _LLAMA2_7B,
    "llama-2-13b-hf": _LLAMA2_13B,
    "llama-2-13b-chat-hf": _LLAMA2_13B,
    "meta-llama-3-8b": _LLAMA3_8B,
    "meta-llama-3-8b-instruct": _LLAMA3_8B,
    **{f"{owner}llama-3.1-8b{kind}": _LLAMA31_8B for owner in ("", "meta-") for kind in ("", "-instruct")},
    "llama-3.2-1b": _LLAMA32_1B,
    "llama-3.2-1b-instruct": _LLAMA32_1B,
    "llama-3.2-3b": _LLAMA32_3B,
    "llama-3.2-3b-instruct": _LLAMA32_3B,
    "falcon-7b": _FALCON_7B,
    "falcon-7b-instruct": _FALCON_7B,
    "mistral-7b-v0.1": _MISTRAL_01,
    "mistral-7b-v0.3": _MISTRAL_03,
    "mistral-7b-instruct-v0.3": _MISTRAL_03,
    **{f"qwen2.5-{size}{kind}": model for kind in ("", "-instruct") for size, model in {
        "0.5b": _QWEN_05B, "1.5b": _QWEN_15B, "3b": _QWEN_3B, "7b": _QWEN_7B,
    }.items()},
    "gemma-2b": _GEMMA_2B,
    "gemma-2b-it": _GEMMA_2B,
    "gemma-7b": _GEMMA_7B,
    "gemma-7b-it": _GEMMA_7B,
    "gemma-2-2b": _GEMMA2_2B,
    "gemma-2-2b-it": _GEMMA2_2B,
    "phi-1_5": _PHI_15,
    "phi-2": _PHI_2,
    "phi-3-mini-4k-instruct": _PHI_3_MINI,
    **{f"smollm2-{size}{kind}": model for kind in ("", "-instruct") for size, model in {
        "135m": _SMOL_135M, "360m": _SMOL_360M, "1.7b": _SMOL_17B,
    }.items()},
}  # fmt: skip
