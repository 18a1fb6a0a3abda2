"""Numbers and lengths in config.json: libraries count up to them, and take memory for them, before they look at a weight."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from pakar.models.intake.finding import Finding
from pakar.models.intake.weights import Tensor

_VOCABULARY = ("vocab_size",)
_WIDTH = ("hidden_size", "n_embd", "d_model", "n_embed")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_OTHER_SIZES = (
    "num_attention_heads", "n_head", "num_key_value_heads", "head_dim", "intermediate_size", "n_inner", "ffn_dim",
    "ffn_hidden_size", "word_embed_proj_dim", "max_position_embeddings", "n_positions", "num_experts",
    "num_local_experts", "num_experts_per_tok",
)  # fmt: skip
_SIZES = (*_VOCABULARY, *_WIDTH, *_LAYERS, *_OTHER_SIZES)

LARGEST = 2**20
"""Of any whole number that has no limit of its own."""

_LARGEST = {
    **dict.fromkeys(_LAYERS, 1024),
    **dict.fromkeys(_VOCABULARY, 2**24),
    "num_labels": 2**16,  # a name is made for each
    "n_positions": 2**15,  # GPT-2 keeps a mask of its square
    "*position*": 2**24,  # Llama 4: 10 Mi
    "*window*": 2**24,
    "*seq*len*": 2**24,
    "*max*len*": 2**24,
    "*theta*": 2**53,  # bases of rotary positions: part of a formula
    "*base*": 2**53,
}
"""Pattern of a key → largest whole number."""

MOST_ENTRIES = 2**16
"""Of any list or object. The names of labels are a list in all but form."""


def findings(config: Mapping[str, Any], name: str, tensors: Mapping[str, Tensor]) -> Iterator[Finding]:
    """What is wrong with the numbers in the content of a configuration, also beside the weights that are really there."""
    entries = [*_values(dict(config))]
    for path, key, value in entries:
        if isinstance(value, (dict, list)) and len(value) > MOST_ENTRIES:
            yield Finding(name, path, f"{len(value):,} entries", f"at most {MOST_ENTRIES:,}")
        elif (key in _SIZES and not _is_list_of_sizes(key, value) and not _is_size(key, value)) or (
            type(value) is int and abs(value) > _most(key)
        ):
            yield Finding(name, path, value, f"a whole number up to {_most(key):,}")
    stored = sum(tensor.elements for tensor in tensors.values())
    for path, _, section in entries:
        if isinstance(section, dict) and stored:
            yield from _too_many_words(section, f"{path}." if path else "", name, stored)


def _values(value: object, path: str = "", key: str = "") -> Iterator[tuple[str, str, Any]]:
    """(path, key, value) of everything at any depth; what stands in a list has the path and key of the list."""
    yield path, key, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _values(inner, f"{path}.{name}" if path else name, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _values(inner, path, key)


def _too_many_words(section: Mapping[str, Any], path: str, name: str, stored: int) -> Iterator[Finding]:
    words, width = _first(section, _VOCABULARY), _first(section, _WIDTH)
    width = min(width, _first(section, ("word_embed_proj_dim", "embedding_size")) or width)
    if words * width > 2 * stored:  # twice: two numbers of 4 bits may be stored as one
        yield Finding(name, f"{path}vocab_size", words, f"no more than the weights have room for: width {width:,}, and {stored:,} stored numbers")  # fmt: skip


def _is_list_of_sizes(key: str, value: object) -> bool:
    """Sizes may differ from layer to layer; those in the list are looked at by themselves."""
    return isinstance(value, list) and key not in _VOCABULARY + _LAYERS


def _is_size(key: str, value: object) -> bool:
    least = 1 if key in _VOCABULARY + _WIDTH + _LAYERS else 0
    return value is None or (type(value) is int and least <= value <= _most(key))


def _most(key: str) -> int:
    return next((most for pattern, most in _LARGEST.items() if fnmatchcase(key, pattern)), LARGEST)


def _first(section: Mapping[str, Any], keys: tuple[str, ...]) -> int:
    return next((section[key] for key in keys if type(section.get(key)) is int), 0)
