"""The tokenizer in a GGUF file: its entries, their kinds, the merges, and how a text is cut before merging.

llama.cpp has the ways to cut a text (`tokenizer.ggml.pre`) built in by name. A tokenizer whose way has no name there would
give other ids than those of the training, so it is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gguf
from gguf import TokenType

from pakar.errors import UserError
from pakar.models.prompt import Renderer

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+"
_SPLITS = {
    _WORDS + r"|\p{N}{1,3}" + _REST: "llama-bpe",
    _WORDS + r"|\p{N}" + _REST: "qwen2",
    " ?[^(\\s|[.,!?…。，、।۔،])]+": "bloom",  # noqa: RUF001 - that is how BLOOM writes it
}
"""Regular expressions that tokenizers cut texts with → llama.cpp's name for them."""


_NAMES_WITH_EFFECT = re.compile("phi-?3|modern-bert", re.IGNORECASE)
_MARKS_OF_PHI3 = {"<unk>", "<s>", "</s>", "<|endoftext|>"}


class _Entries(NamedTuple):
    """What every id stands for."""

    texts: list[str]
    kinds: list[int]


def add(writer: gguf.GGUFWriter, prompts: Renderer, vocabulary_size: int) -> None:
    """Add tokenizer, special tokens and chat template.

    Args:
        writer: Of the file.
        prompts: With the tokenizer of the training; its end of an answer becomes the file's end token.
        vocabulary_size: Rows of the model's embedding; ids without an entry get a placeholder.

    Raises:
        UserError: llama.cpp has no tokenizer of this kind.
    """
    tokenizer: Any = prompts.tokenizer
    if not tokenizer.is_fast:
        raise _refusal("it has no tokenizer.json")
    spec = json.loads(tokenizer.backend_tokenizer.to_str())
    entries = _entries(spec, vocabulary_size)
    if spec["model"]["type"] != "BPE":
        raise _refusal(f"it is of the kind {spec['model']['type']}, not BPE")
    if spec["model"].get("byte_fallback"):
        _add_sentencepiece(writer, spec, entries)
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre_tokenizer(spec))
        writer.add_token_merges([" ".join(_pair(merge)) for merge in spec["model"]["merges"]])
        writer.add_token_list(entries.texts)
        writer.add_token_types(entries.kinds)
    _add_special(writer, prompts)


def safe_name(name: str, prompts: Renderer) -> str:
    """A model's name, free of words by which llama.cpp changes the tokenizer, but for tokenizers that it suits.

    Marks of Phi-3 swallow the white space behind them. llama.cpp knows that by the model's name only, and does not load other
    models that are called so.
    """
    spec = json.loads(prompts.tokenizer.backend_tokenizer.to_str())
    known = {**spec["model"]["vocab"], **{token["content"]: token["id"] for token in spec["added_tokens"]}}
    swallows = any(token["rstrip"] for token in spec["added_tokens"])
    plain = _NAMES_WITH_EFFECT.sub("model", name)
    return f"{plain} (Phi-3)" if swallows and known.keys() >= _MARKS_OF_PHI3 else plain


def pre_tokenizer(spec: Mapping[str, Any]) -> str:
    """llama.cpp's name for the way that a byte-level tokenizer cuts texts before merging.

    Args:
        spec: The content of tokenizer.json.

    Raises:
        UserError: it has none.
    """
    steps = [_step(step) for step in _flat(spec.get("pre_tokenizer"), "pretokenizers")]
    if steps == ["bytes by words"]:
        return "gpt-2"
    if steps == ["single digits", "bytes by words"]:
        return "smollm"
    if steps == ["punctuation", "bytes by words", "digits", "[0-9][0-9][0-9]"]:
        return "falcon"
    if len(steps) == 2 and steps[0] in _SPLITS and steps[1] == "bytes":
        return _SPLITS[steps[0]]
    raise _refusal(f"llama.cpp does not know how it cuts texts: {', '.join(steps) or 'not at all'}")


def _step(step: Mapping[str, Any]) -> str:
    """A step of a pre-tokenizer in a word, or its regular expression."""
    kind = step["type"]
    if kind == "ByteLevel" and not step.get("add_prefix_space"):
        return "bytes by words" if step.get("use_regex", True) else "bytes"
    if kind == "Digits":
        return "single digits" if step.get("individual_digits") else "digits"
    if kind == "Punctuation" and step.get("behavior") == "Contiguous":
        return "punctuation"
    if kind == "Split" and step.get("behavior") == "Isolated" and not step.get("invert"):
        pattern = step["pattern"]
        return str(pattern.get("Regex") or pattern.get("String"))
    return f"{kind} {json.dumps({key: value for key, value in step.items() if key != 'type'})}"


def _add_sentencepiece(writer: gguf.GGUFWriter, spec: Mapping[str, Any], entries: _Entries) -> None:
    """Llama 2, Mistral and Gemma: merges by score, and the pieces of unknown letters are bytes.

    The earlier a pair is merged, the higher is the score of what it makes; that is all that llama.cpp needs of scores.
    """
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(spec["model"]["merges"]):
        ranks.setdefault("".join(_pair(merge)), rank)
    last = len(spec["model"]["merges"])
    steps = _flat(spec.get("normalizer"), "normalizers") + _flat(spec.get("pre_tokenizer"), "pretokenizers")
    leads = any(s["type"] == "Prepend" or s.get("prepend_scheme", "never") != "never" for s in steps)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(entries.texts)
    writer.add_token_scores([-float(ranks.get(text, last)) for text in entries.texts])
    writer.add_token_types(entries.kinds)
    writer.add_add_space_prefix(leads)


def _entries(spec: Mapping[str, Any], vocabulary_size: int) -> _Entries:
    """Text and kind of every id from 0 to the last row of the embedding."""
    bytes_too = bool(spec["model"].get("byte_fallback"))
    texts = [f"[PAD{i}]" for i in range(vocabulary_size)]
    kinds: list[int] = [TokenType.UNUSED] * vocabulary_size
    known = {**spec["model"]["vocab"], **{token["content"]: token["id"] for token in spec["added_tokens"]}}
    if max(known.values()) >= vocabulary_size:
        raise _refusal(f"it has entries up to {max(known.values())}, but the model knows only {vocabulary_size:,}")
    for content, i in spec["model"]["vocab"].items():
        is_byte = bytes_too and len(content) == 6 and content.startswith("<0x") and content.endswith(">")
        texts[i], kinds[i] = content, TokenType.BYTE if is_byte else TokenType.NORMAL
    for token in spec["added_tokens"]:
        kind = TokenType.CONTROL if token["special"] else TokenType.USER_DEFINED
        texts[token["id"]], kinds[token["id"]] = token["content"], kind
    unknown = spec["model"].get("unk_token")
    if unknown in known:
        kinds[known[unknown]] = TokenType.UNKNOWN
    return _Entries(texts, kinds)


def _add_special(writer: gguf.GGUFWriter, prompts: Renderer) -> None:
    tokenizer: Any = prompts.tokenizer
    bos = tokenizer.bos_token_id
    writer.add_eos_token_id(prompts.end_id)
    if bos is not None:
        writer.add_bos_token_id(bos)
    if tokenizer.pad_token_id is not None:
        writer.add_pad_token_id(tokenizer.pad_token_id)
    if tokenizer.unk_token_id is not None:
        writer.add_unk_token_id(tokenizer.unk_token_id)
    writer.add_add_bos_token(bos is not None and tokenizer("a")["input_ids"][0] == bos)
    writer.add_add_eos_token(False)
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)


def _pair(merge: str | Sequence[str]) -> list[str]:
    """The two parts of a merge, which tokenizer.json writes in one of two ways."""
    return merge.split(" ", 1) if isinstance(merge, str) else list(merge)


def _flat(step: Mapping[str, Any] | None, inner: str) -> list[Mapping[str, Any]]:
    """The steps of a sequence, or the one step, or none."""
    if step is None:
        return []
    return [one for part in step[inner] for one in _flat(part, inner)] if inner in step else [step]


def _refusal(reason: str) -> UserError:
    return UserError(f"the tokenizer cannot be written as GGUF: {reason}",
                     next_step="export with --as merged, which keeps the tokenizer as it is.")  # fmt: skip
