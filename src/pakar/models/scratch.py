"""A base model made here: a tokenizer learnt from texts, and random weights in the shape that the recipe names.

What is written is a model directory like any other, so nothing that reads one needs to know where it came from.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from pakar.recipe.model import Llama

PAD, BEGIN, END = "<|pad|>", "<|bos|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
MARKS = (PAD, BEGIN, END, *ROLES)
"""Special tokens; their places in this list are their ids."""
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def config(shape: Llama, context_tokens: int) -> LlamaConfig:
    """The architecture as transformers describes it."""
    return LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads or shape.heads,
        intermediate_size=shape.inner_width,
        max_position_embeddings=context_tokens,
        tie_word_embeddings=shape.tie_embeddings,
        pad_token_id=MARKS.index(PAD),
        bos_token_id=MARKS.index(BEGIN),
        eos_token_id=MARKS.index(END),
    )


def learn_tokenizer(texts: Iterable[str], vocabulary: int, context_tokens: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE (Sennrich et al. 2016 over bytes) with the marks above; any text can be written with it.

    Letters are composed (NFC), and every digit is a token of its own, so that numbers are spelled the same way everywhere.

    Args:
        texts: What it is learnt from; counted word by word, so that memory holds the different words only.
        vocabulary: Most entries; fewer if the texts do not give so many.
        context_tokens: Noted in the tokenizer as the longest sequence.
    """
    bare = Tokenizer(models.BPE())
    bare.normalizer = normalizers.NFC()
    bare.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bare.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[*MARKS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bare.train_from_iterator(iter(texts), trainer)
    return wrapped(bare, context_tokens)


def wrapped(bare: Tokenizer, context_tokens: int) -> PreTrainedTokenizerFast:
    """A tokenizer with the marks and the chat template, as transformers wants it."""
    made = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bare,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[*ROLES],
        model_max_length=context_tokens,
        clean_up_tokenization_spaces=False,
    )
    assert isinstance(made, PreTrainedTokenizerFast)  # noqa: S101 - narrows a type for the checker
    made.chat_template = CHAT_TEMPLATE
    return made


def random_model(shape: Llama, context_tokens: int, seed: int) -> LlamaForCausalLM:
    """Untrained weights in float32, drawn by seed; torch's own random state stays untouched."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config(shape, context_tokens))
    model.generation_config.max_length = None  # an answer's length is asked for, not built in
    return model


def write(directory: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write a model directory in Hugging Face layout."""
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model.save_pretrained(str(directory))
    tokenizer.save_pretrained(str(directory))
