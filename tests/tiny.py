"""Tiny real things for tests: a Llama of a few thousand weights with its own tokenizer, and small data files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

MARKS = ["<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SENTENCES = [
    "How can I sleep better at night?",
    "Go to bed at the same hour.",
    "Wie schläft man besser?",
    "Atme ruhig aus.",
]


def tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """Byte-level BPE with 320 entries."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=MARKS, initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator(SENTENCES, trainer)
    build: Any = PreTrainedTokenizerFast  # its constructor has no types
    wrapped = build(
        tokenizer_object=bpe,
        bos_token="<|bos|>",
        eos_token="<|end|>",
        pad_token="<|pad|>",
        additional_special_tokens=MARKS[3:],
        chat_template=template,
    )
    assert isinstance(wrapped, PreTrainedTokenizerFast)
    return wrapped


def model(seed: int = 0) -> LlamaForCausalLM:
    """Two layers of width 32; strongly scattered weights, so that seeds differ visibly."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config)


def save_model(directory: Path, seed: int = 0) -> Path:
    """A model directory in Hugging Face layout."""
    model(seed).save_pretrained(directory)
    tokenizer().save_pretrained(directory)
    return directory


def write_pairs(path: Path, pairs: Sequence[tuple[str, str]]) -> Path:
    """A CSV file with the columns question and answer."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "answer"])
        writer.writerows(pairs)
    return path


def pairs(count: int) -> list[tuple[str, str]]:
    """Different questions with different answers."""
    return [(f"How can I sleep in week {n}?", f"Go to bed at {n % 12} and breathe {n} times.") for n in range(count)]


def write_recipe(path: Path, data: Path, base: Path, more: str = "") -> Path:
    """A recipe that trains the tiny model for a few steps."""
    path.write_text(
        f"""
name: tiny
model: {{base: {base}, context_tokens: 96}}
prepare:
  sources: [{{path: {data}, format: csv, shape: {{kind: pairs, question: question, answer: answer}}}}]
  split: {{validation: 0.2, test: 0.2}}
train:
  method: {{kind: lora, rank: 4, alpha: 8, dropout: 0.1}}
  epochs: 3
  batch_size: 4
  learning_rate: 0.01
  checkpoint_every: 2
  validation: {{patience: 0}}
evaluate: {{answers: 4, resamples: 200, sampling: {{max_tokens: 8}}}}
{more}
"""
    )
    return path
