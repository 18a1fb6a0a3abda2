"""Make the bundled starter model from openly licensed text: tokenizer, token files, pre-training, export.

A maintainer's script, run by hand a few times in the life of the project; nothing in the product imports it.

    python scripts/make_starter.py tokens --corpus ../shared/corpus --work /tmp/starter
    python scripts/make_starter.py train  --work /tmp/starter --stable-steps 3000 --decay-steps 1000
    python scripts/make_starter.py export --work /tmp/starter --out src/pakar/starter

Training has two parts on one warm-up/stable/decay schedule (Hu et al. 2024, MiniCPM, section 4): the stable part reads
everything with loss on every token; while the rate decays, only conversations and some prose are read, with loss on the
assistant's tokens, so that the finished model answers and stops. The matrices learn with Muon (Jordan et al. 2024), the
rest with AdamW. It can be killed and started again: the last checkpoint holds model, optimizers and position.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import torch
import zstandard
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPECIAL = ["<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
VOCABULARY = 6144
CONTEXT = 512

# Share of each source's documents that is read. MedQuAD is left out: it is what users and tests measure on.
STABLE = {
    "classic_books": 0.15, "enwiki2015": 0.35, "openstax": 1.0, "onestopenglish": 1.0, "va_gov_pages": 1.0,
    "african_storybook": 1.0, "opensource_guide": 1.0, "opensource_guide_id": 1.0, "ud_indonesian_gsd": 1.0,
    "enwiki2015_qa": 0.5, "classic_books_continue": 0.05, "opentrivia": 0.1, "arxiv_title_tasks": 0.1,
    "wordnet_definitions": 0.5, "gsm8k_train": 0.2, "indonlu_reviews": 0.2, "world_factbook": 0.3,
    "onestop_simplify": 0.5, "indonlu_facqa": 0.3, "openstax_glossary": 1.0, "self_instruct_seed": 1.0,
    "self_dialogue": 0.5, "sgd": 0.1, "star": 0.1, "topical_chat": 0.8, "casino": 1.0, "taskmaster4": 0.3,
    "open_conv": 1.0, "chatterbot": 1.0, "arxiv_abstracts": 0.05, "acl_abstracts": 0.1,
}  # fmt: skip
DECAY = {
    "openstax": 0.35, "va_gov_pages": 1.0, "onestopenglish": 0.5, "enwiki2015_qa": 0.35, "wordnet_definitions": 0.1,
    "onestop_simplify": 0.2, "indonlu_facqa": 0.1, "openstax_glossary": 1.0, "self_instruct_seed": 1.0,
    "self_dialogue": 0.25, "topical_chat": 1.0, "casino": 0.3, "open_conv": 1.0, "chatterbot": 1.0, "world_factbook": 0.05,
}  # fmt: skip


def documents(corpus: Path) -> Iterator[dict[str, Any]]:
    """The corpus's records in file order, MedQuAD excepted."""
    for shard in sorted(corpus.glob("corpus-*.jsonl.zst")):
        with zstandard.open(shard, "rt", encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                if record["source"] in STABLE:
                    yield record


def text_of(record: dict[str, Any]) -> str:
    return record["text"] if "text" in record else "\n".join(m["content"] for m in record["messages"])


def train_tokenizer(corpus: Path, characters: int = 40_000_000) -> Tokenizer:
    """Byte-level BPE with single digits, so that numbers are spelled the same way everywhere."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()

    def sample() -> Iterator[str]:
        seen = 0
        for number, record in enumerate(documents(corpus)):
            if number % 4 == 0 and (text := text_of(record)):
                seen += len(text)
                yield text
            if seen > characters:
                return

    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample(), trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, record: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Token ids and loss mask of one document; of conversations the mask covers the assistant's words and the end mark."""
    bos, end = tokenizer.token_to_id("<|bos|>"), tokenizer.token_to_id("<|end|>")
    if "text" in record:
        ids = tokenizer.encode(record["text"], add_special_tokens=False).ids
        return [bos, *ids], [1] * (len(ids) + 1)
    ids, mask = [bos], [0]
    for message in record["messages"]:
        content = [*tokenizer.encode(message["content"].strip(), add_special_tokens=False).ids, end]
        ids += [tokenizer.token_to_id(f"<|{message['role']}|>"), *content]
        mask += [0, *([int(message["role"] == "assistant")] * len(content))]
    return ids, mask


def write_tokens(corpus: Path, work: Path) -> None:
    """Write tokenizer.json and, for each part of the schedule, token ids and loss mask as flat arrays."""
    tokenizer = train_tokenizer(corpus)
    tokenizer.save(str(work / "tokenizer.json"))
    chance = random.Random(20261121)
    held_out: list[dict[str, Any]] = []
    parts: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {"stable": ([], []), "decay": ([], [])}
    for record in documents(corpus):
        if chance.random() < 0.002:
            held_out.append(record)
            continue
        wanted = [
            p
            for p, shares in (("stable", STABLE), ("decay", DECAY))
            if chance.random() < shares.get(record["source"], 0)
        ]
        if wanted:
            ids, mask = encode(tokenizer, record)
            for part in wanted:
                parts[part][0].append(np.asarray(ids, np.uint16))
                parts[part][1].append(np.asarray(mask, np.uint8))
    for part, (ids, mask) in parts.items():
        np.save(work / f"{part}-ids.npy", np.concatenate(ids))
        np.save(work / f"{part}-mask.npy", np.concatenate(mask))
        print(part, sum(map(len, ids)), "tokens")
    with (work / "held-out.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in held_out)


def new_model() -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=192, num_hidden_layers=6, num_attention_heads=6, num_key_value_heads=6,
        intermediate_size=512, max_position_embeddings=CONTEXT, tie_word_embeddings=True, rope_theta=10000.0,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, attn_implementation="sdpa",
    )  # fmt: skip
    torch.manual_seed(0)
    return LlamaForCausalLM(config)


class Batches:
    """Windows of a flat token file in a seeded order; addressed by step, so that resuming needs no replay."""

    def __init__(self, work: Path, part: str, window: int, tokens: int) -> None:
        self.ids = np.load(work / f"{part}-ids.npy", mmap_mode="r")
        self.mask = np.load(work / f"{part}-mask.npy", mmap_mode="r")
        self.window, self.rows = window, tokens // window
        self.order = np.random.default_rng(0).permutation((len(self.ids) - 1) // window)

    def at(self, step: int, whole: bool) -> tuple[torch.Tensor, torch.Tensor]:
        starts = self.order[np.arange(step * self.rows, (step + 1) * self.rows) % len(self.order)] * self.window
        ids = torch.from_numpy(np.stack([self.ids[s : s + self.window + 1] for s in starts]).astype(np.int64))
        targets = ids[:, 1:].clone()
        if not whole:
            mask = np.stack([self.mask[s + 1 : s + self.window + 1] for s in starts])
            targets[torch.from_numpy(mask == 0)] = -100
        return ids[:, :-1], targets


def rate(step: int, stable: int, decay: int, warmup: int = 100) -> float:
    """Warm-up, stable, then 1-sqrt decay (Hägele et al. 2024, section 4) of the learning rate, as a share of its peak."""
    if step < warmup:
        return (step + 1) / warmup
    return 1.0 if step < stable else 1 - math.sqrt((step - stable) / decay)


def optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        torch.optim.Muon(matrices, lr=0.01, weight_decay=0.05, adjust_lr_fn="original"),
        torch.optim.AdamW(rest, lr=4e-3, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def held_out_bits(model: torch.nn.Module, tokenizer: Tokenizer, work: Path, limit: int = 120) -> float:
    """Bits per byte over held-out prose, first 512 tokens of each text."""
    nats, size = 0.0, 0
    records = [json.loads(line) for line in (work / "held-out.jsonl").open(encoding="utf-8")]
    for record in [r for r in records if "text" in r][:limit]:
        ids = torch.tensor([[1, *tokenizer.encode(record["text"], add_special_tokens=False).ids][:CONTEXT]])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, :-1].float()
        nats += torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
        size += len(tokenizer.decode(ids[0, 1:].tolist()).encode())
    return nats / math.log(2) / size


def train(work: Path, stable: int, decay: int, tokens: int) -> None:
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    model = new_model()
    print(sum(p.numel() for p in model.parameters()), "parameters", flush=True)
    parts = optimizers(model)
    peaks = [group["lr"] for optimizer in parts for group in optimizer.param_groups]
    streams = {"stable": Batches(work, "stable", 256, tokens), "decay": Batches(work, "decay", CONTEXT, tokens)}
    checkpoint, step = work / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        step = state["step"]
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(parts, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
    compiled = torch.compile(model)
    started, first, losses = time.monotonic(), step, []
    while step < stable + decay:
        share = rate(step, stable, decay)
        for group, peak in zip((g for o in parts for g in o.param_groups), peaks, strict=True):
            group["lr"] = peak * share
        whole = step < stable
        ids, targets = streams["stable"].at(step, True) if whole else streams["decay"].at(step - stable, False)
        logits = compiled(input_ids=ids, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in parts:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        step += 1
        if step % 20 == 0:
            record = {"step": step, "loss": sum(losses) / len(losses), "rate": share, "tokens": step * tokens}
            record["tokens_per_second"] = (step - first) * tokens / (time.monotonic() - started)
            if step % 400 == 0 or step == stable + decay:
                record["held_out_bits_per_byte"] = held_out_bits(model, tokenizer, work)
            with (work / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(record) + "\n")
            losses = []
        if step % 200 == 0 or step == stable + decay:
            state = {"step": step, "model": model.state_dict(), "optimizers": [o.state_dict() for o in parts]}
            torch.save(state, work / "checkpoint.tmp")
            (work / "checkpoint.tmp").replace(checkpoint)


def export(work: Path, out: Path) -> None:
    """Write the model in the hub's layout, in bfloat16, with its tokenizer and chat template."""
    model = new_model()
    model.load_state_dict(torch.load(work / "checkpoint.pt", weights_only=True)["model"])
    model.generation_config.max_length = None
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(work / "tokenizer.json"), bos_token="<|bos|>", eos_token="<|end|>", pad_token="<|pad|>",
        additional_special_tokens=SPECIAL[3:], model_max_length=CONTEXT, clean_up_tokenization_spaces=False,
    )  # fmt: skip
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["tokens", "train", "export"])
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--stable-steps", type=int, default=3000)
    parser.add_argument("--decay-steps", type=int, default=1000)
    parser.add_argument("--batch-tokens", type=int, default=8192)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.action == "tokens":
        write_tokens(options.corpus, options.work)
    elif options.action == "train":
        train(options.work, options.stable_steps, options.decay_steps, options.batch_tokens)
    else:
        export(options.work, options.out)


if __name__ == "__main__":
    main()
