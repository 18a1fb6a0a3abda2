"""Re-phrasing by sequence-to-sequence models: one that paraphrases, or two that translate there and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from pakar import text
from pakar.errors import RecipeError
from pakar.recipe import BackTranslation, Paraphrase

BATCH = 32
MOST_TOKENS = 128
FAR = 2.5
"""A candidate that is so many times longer or shorter than the question says something else."""

Writer = Callable[[Sequence[str], int], list[list[str]]]
"""Texts, and how many outputs are wanted of each → outputs."""


def load(section: Paraphrase | BackTranslation) -> Callable[[Sequence[str]], list[list[str]]]:
    """Questions → for each of them, other ways to ask the same, likeliest first. Repeatable: beams, no chance.

    Raises:
        RecipeError: a model cannot be loaded.
    """
    wanted = 2 * section.copies  # some will turn out to be the question itself
    if isinstance(section, Paraphrase):
        model = _writer(section.model)
        prompt = section.prompt
        return lambda questions: _sensible(questions, model([prompt.format(question=q) for q in questions], wanted))
    there, back = _writer(section.there), _writer(section.back)

    def translate(questions: Sequence[str]) -> list[list[str]]:
        # A model may have nothing to say; then the question goes back as it is, and is left out as no new one.
        abroad = [found[0].strip() or question for question, found in zip(questions, there(questions, 1), strict=True)]
        return _sensible(questions, back(abroad, wanted))

    return translate


def _writer(name: str) -> Writer:
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        model: Any = AutoModelForSeq2SeqLM.from_pretrained(name, trust_remote_code=False, use_safetensors=True)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise RecipeError(f"prepare.augment: cannot load {name!r} as a sequence-to-sequence model: {reason}",
                          next_step="name a local directory or hub id with config.json, tokenizer and model.safetensors.") from None  # fmt: skip
    model.eval()

    def write(texts: Sequence[str], count: int) -> list[list[str]]:
        written: list[str] = []
        for start in range(0, len(texts), BATCH):
            batch = tokenizer(list(texts[start : start + BATCH]), return_tensors="pt", padding=True, truncation=True)
            with torch.inference_mode():
                ids = model.generate(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], num_beams=max(2, count), num_return_sequences=count, do_sample=False,
                                     max_new_tokens=MOST_TOKENS)  # fmt: skip
            written += tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [written[start : start + count] for start in range(0, len(written), count)]

    return write


def _sensible(questions: Sequence[str], found: list[list[str]]) -> list[list[str]]:
    """Candidates that say something, are of about the question's length, and differ from it by more than case and marks."""
    return [
        [
            one.strip()
            for one in candidates
            if text.words(one)
            and text.key(one) != text.key(question)
            and 1 / FAR < len(one.split()) / max(1, len(question.split())) < FAR
        ]
        for question, candidates in zip(questions, found, strict=True)
    ]
