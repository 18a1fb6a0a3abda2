"""What the training benchmarks train on: question and answer pairs of realistic lengths, and models of a given shape with random weights."""

from __future__ import annotations

import csv
import json
import random
import re
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from benchmarks.machine import ROOT

STARTER = ROOT / "src" / "pakar" / "starter"
EXAMPLES = ROOT / "recipes" / "data" / "mental-health-faq.csv"


class Pair(NamedTuple):
    """A question and its answer."""

    question: str
    answer: str


def pairs(count: int, seed: int = 1) -> list[Pair]:
    """Pairs made of the bundled example's sentences: answers of 15 to 200 words, log-normal around 60, as people write them.

    The sentences do not follow from each other; for speed only their number and their words count.
    """
    chance = random.Random(seed)
    with EXAMPLES.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    sentences = [sentence for row in rows for sentence in re.split(r"(?<=[.!?]) ", row["answer"])]
    made = []
    for number in range(count):
        wanted = min(200, max(15, round(chance.lognormvariate(4.1, 0.6))))
        words: list[str] = []
        while len(words) < wanted:
            words += chance.choice(sentences).split()
        question = f"{chance.choice(rows)['question']} {chance.choice(rows)['question']}"
        made.append(Pair(f"{question} ({number})", " ".join(words)))
    return made


def bundled_pairs() -> list[Pair]:
    """The bundled example's own pairs."""
    with EXAMPLES.open(encoding="utf-8", newline="") as file:
        return [Pair(row["question"], row["answer"]) for row in csv.DictReader(file)]


def write_csv(path: Path, rows: list[Pair]) -> Path:
    """For Pakar."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Pair._fields)
        writer.writerows(rows)
    return path


def write_conversations(path: Path, rows: list[Pair]) -> Path:
    """For TRL: prompt and completion as messages."""
    lines = [
        json.dumps({"prompt": [{"role": "user", "content": question}], "completion": [{"role": "assistant", "content": answer}]})
        for question, answer in rows
    ]  # fmt: skip
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def llama_16m() -> PreTrainedModel:
    """16.5 million weights: 8 layers of width 384, with the starter's vocabulary."""
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=6144, hidden_size=384, num_hidden_layers=8, num_attention_heads=6, num_key_value_heads=6, intermediate_size=1024,
        max_position_embeddings=1024, tie_word_embeddings=True, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    ))  # fmt: skip


def gpt2_small() -> PreTrainedModel:
    """GPT-2 small's shape, 124 million weights, with its vocabulary of 50,257 (of which the starter's tokenizer uses 6,144)."""
    return GPT2LMHeadModel(GPT2Config(pad_token_id=0, bos_token_id=1, eos_token_id=2))


SHAPES = {"16 M Llama": llama_16m, "GPT-2 small": gpt2_small}


def write_model(directory: Path, shape: str, seed: int = 0) -> Path:
    """Random weights of a shape with the starter's tokenizer, as a local base model."""
    torch.manual_seed(seed)
    SHAPES[shape]().save_pretrained(directory)
    AutoTokenizer.from_pretrained(STARTER).save_pretrained(directory)
    return directory
