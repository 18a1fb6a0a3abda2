"""Read models and tokenizers whole, or not at all.

A loader fills weights that are missing with random numbers and goes on. Here that is an error: a model that was never
there would be trained, measured and handed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from pakar.errors import RecipeError
from pakar.models import configuration, eight_bits, faults, intake
from pakar.models.configuration import NO_CODE

_SHOWN = 3
"""Most weights that are named in a message."""

_SAMPLE = "How can I sleep at 7? Atme ruhig aus."
"""Encoded once: some faults of a tokenizer show only then."""


def read(kind: Any, directory: Path, **how: Any) -> Any:
    """A model with every one of its weights, for evaluation.

    How others would have it generate (generation_config.json) is not taken over, but for the ids of its special tokens:
    a search over beams or a bias towards some words would be measured as if it were the model's own.

    Args:
        kind: An auto class of transformers.
        directory: One that `intake` has looked at.
        how: For `from_pretrained`: number format, device, quantisation.

    Raises:
        RecipeError: the files cannot be used, or hold not all weights that config.json speaks of.
    """
    config = configuration.read(directory)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with eight_bits.unfolded(directory) as readable, faults.told(directory, "the model (config.json, weights)"):
        model, found = kind.from_pretrained(
            readable,
            config=config,
            generation_config=_generation(directory, config),
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told below, all at once
            use_safetensors=True,
            **NO_CODE,
            **how,
        )
    _refuse_incomplete(directory, found)
    model.eval()
    return model


def tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a model's directory, as it comes.

    Raises:
        RecipeError: its files cannot be used.
    """
    config = configuration.read(directory) if (directory / "config.json").exists() else None
    with faults.told(directory, "the tokenizer (tokenizer.json, tokenizer_config.json)"):
        found = AutoTokenizer.from_pretrained(directory, config=config, **NO_CODE)
        found(_SAMPLE)
    assert isinstance(found, PreTrainedTokenizerBase)  # noqa: S101 - narrows a type for the checker
    return found


def check(directory: Path) -> None:
    """Refuse a language model that does not load whole, or whose tokenizer is not made for it. No weight is read.

    Raises:
        RecipeError: it is so.
    """
    _check(directory, intake.state(directory))


@lru_cache(maxsize=16)
def _check(directory: Path, _state: object) -> None:
    """Stages of one process look for the same model again and again; see `intake`."""
    config = configuration.read(directory)
    if (
        getattr(config, "quantization_config", None) is None
    ):  # else it takes numbers to tell which shapes they unfold to
        read(AutoModelForCausalLM, directory, device_map={"": "meta"})
    _refuse_unknown_tokens(directory, config)


def _refuse_incomplete(directory: Path, found: Mapping[str, Any]) -> None:
    """See `read`; weights that are tied to others are no longer counted among the missing ones."""
    missing = sorted(found["missing_keys"])
    other = [f"{name} is {[*stored]}, not {[*wanted]}" for name, stored, wanted in sorted(found["mismatched_keys"], key=str)]  # fmt: skip
    faulty = [*(f"{name} is missing" for name in missing), *other]
    if faulty:
        more = f", and {len(faulty) - _SHOWN:,} more" if len(faulty) > _SHOWN else ""
        raise RecipeError(f"the weights in {directory} are not those of the model in its config.json: {', '.join(faulty[:_SHOWN])}{more}. They would be random numbers",
                          next_step="get all files of the model anew from its source, or name another model.")  # fmt: skip


def _generation(directory: Path, config: PreTrainedConfig) -> GenerationConfig:
    written = intake.generation(directory)
    ids = {
        name: written.get(name, getattr(config, name, None))
        for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    }
    return GenerationConfig(**ids)  # type: ignore[no-untyped-call]


def _refuse_unknown_tokens(directory: Path, config: PreTrainedConfig) -> None:
    """Tokens that a text can lead to, or a template, and that the model has no embedding for.

    Special tokens that none of them uses may lie beyond: Gemma 3 without pictures has one for pictures.
    """
    rows = config.get_text_config().vocab_size
    found = tokenizer(directory)
    beyond = [(number, token) for token, number in found.get_vocab().items() if number >= rows]
    used = [(number, token) for number, token in sorted(beyond) if _is_used(found, number, token)]
    if used:
        number, token = used[-1]
        raise RecipeError(f"the tokenizer in {directory} has tokens that the model in its config.json has no embedding for: {token!a} is {number:,}, vocab_size is {rows:,} ({len(used):,} in all)",
                          next_step="get tokenizer and weights of the same model, or name another model.")  # fmt: skip


def _is_used(found: PreTrainedTokenizerBase, number: int, token: str) -> bool:
    added = found.added_tokens_decoder.get(number)
    named = number in (found.bos_token_id, found.eos_token_id, found.pad_token_id)
    return added is None or not added.special or named or token in str(found.chat_template)
