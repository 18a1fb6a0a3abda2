"""Supervised fine-tuning with TRL's SFTTrainer, timed step by step. Runs in an environment of its own; prints one JSON object.

    python trl_sft.py '{"model": DIR, "data": FILE.jsonl, "steps": 12, "lora": 16, "settings": {…SFTConfig…}, "dtype": "bfloat16", "out": DIR}'

`data` holds one conversation a line, as `prompt` and `completion` messages, so that TRL trains on the answers alone, as Pakar does.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

import torch
import transformers
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]


class StepTimes(TrainerCallback):
    """Seconds of every optimizer step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._started = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._started = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.perf_counter() - self._started)


def main() -> None:
    """Train as told and print what was measured."""
    told = json.loads(sys.argv[1])
    torch.manual_seed(told.get("seed", 0))
    model = AutoModelForCausalLM.from_pretrained(told["model"], dtype=getattr(torch, told.get("dtype", "float32")))
    tokenizer = AutoTokenizer.from_pretrained(told["model"])
    rows = [json.loads(line) for line in Path(told["data"]).read_text(encoding="utf-8").splitlines()]
    lora = told.get("lora")
    adapter = LoraConfig(
        r=lora, lora_alpha=2 * lora, lora_dropout=0.05, target_modules="all-linear", task_type="CAUSAL_LM"
    ) if lora else None  # fmt: skip
    times = StepTimes()
    settings = {"max_steps": told["steps"]} if "steps" in told else {}
    config = SFTConfig(
        output_dir=told["out"], use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True, logging_steps=1,
        seed=told.get("seed", 0), **settings, **told.get("settings", {}),
    )  # fmt: skip
    trainer = SFTTrainer(
        model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer,
        peft_config=adapter, callbacks=[times],
    )  # fmt: skip
    trainer.train()
    if told.get("save"):
        trainer.save_model(told["save"])
    tokens = sum(len(row["input_ids"]) for row in trainer.train_dataset)
    print(json.dumps({"seconds": times.seconds, "tokens_per_epoch": tokens, "rows_per_epoch": len(trainer.train_dataset),
                      "seen": _real_tokens(trainer, len(times.seconds)),
                      "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]}))  # fmt: skip


def _real_tokens(trainer: Any, steps: int) -> list[int]:
    """Tokens that are not padding, of every optimizer step: the same loader once more, with the same seed."""
    transformers.set_seed(trainer.args.seed)
    accumulation = trainer.args.gradient_accumulation_steps
    seen: list[int] = []
    while len(seen) < steps:
        counts = [_real(batch) for batch in trainer.get_train_dataloader()]
        seen += [sum(counts[start : start + accumulation]) for start in range(0, len(counts), accumulation)]
    return seen[:steps]


def _real(batch: Any) -> int:
    mask = batch.get("attention_mask")
    return int(batch["input_ids"].numel() if mask is None else mask.sum())


if __name__ == "__main__":
    main()
