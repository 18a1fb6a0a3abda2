"""TRL's SFTTrainer with PEFT on the same random model and the same rows as `gpu_parts`; prints one row of its table as JSON.

    python -m benchmarks.peers.trl_gpu --shape llama-3-8b --device cuda --setting kept

Rows come as token ids, one example each, already of full length: nothing is padded, packed or masked, which is TRL's fastest case.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from importlib.util import find_spec
from typing import Any

warnings.simplefilter("ignore")

import bitsandbytes
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

from benchmarks import gpu_models as models
from benchmarks.machine import ROOT

RANK, WARM_UP, ROWS = 16, 3, 2
SETTINGS: dict[str, dict[str, Any]] = {
    "computed again": {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}},
    "kept": {"gradient_checkpointing": False},
    "kept, Liger": {"gradient_checkpointing": False, "use_liger_kernel": True},
}


class StepTimes(TrainerCallback):
    """Seconds of every optimizer step."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds, self._started = device, list[float](), 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._started = self._now()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(self._now() - self._started)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--setting", choices=SETTINGS, default="kept")
    parser.add_argument("--shape", choices=models.SHAPES, default="llama-3-8b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--row", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=8)
    told = parser.parse_args()
    if "Liger" in told.setting and find_spec("liger_kernel") is None:
        sys.exit("Liger kernels are not installed")
    device = torch.device(told.device)
    times = StepTimes(device)
    with tempfile.TemporaryDirectory() as folder:
        losses = train(told, device, times, folder)
    on_gpu = device.type == "cuda"
    print(json.dumps({
        "training": f"TRL + PEFT QLoRA, activations {told.setting}",
        "peak GiB": round(torch.cuda.max_memory_allocated() / 2**30, 2) if on_gpu else "on GPUs only",
        "tokens/s": round(ROWS * told.row / statistics.mean(times.seconds[WARM_UP:])),
        "tokens in a pass": ROWS * told.row,
        "examples": "one a row",
        "activations": told.setting,
        "first step s": round(times.seconds[0], 1),
        "loss, first to last": f"{losses[0]:.2f} to {losses[-1]:.2f}",
    }))  # fmt: skip


def train(told: argparse.Namespace, device: torch.device, times: StepTimes, folder: str) -> list[float]:
    """Losses of all steps."""
    layer: Any = bitsandbytes.nn.Linear4bit  # type: ignore[attr-defined]
    model: Any = models.build(told.shape, device, torch.bfloat16, models.in_4_bits(layer, torch.bfloat16))
    model.is_loaded_in_4bit = True
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    texts = models.tokens(model.config.vocab_size, ROWS * (WARM_UP + told.steps), told.row)
    config = SFTConfig(
        output_dir=folder, use_cpu=device.type == "cpu", report_to="none", save_strategy="no", disable_tqdm=True,
        logging_steps=1, bf16=True, per_device_train_batch_size=ROWS, max_steps=WARM_UP + told.steps, max_length=told.row,
        learning_rate=2e-4, lr_scheduler_type="constant", optim="adamw_torch_fused", **SETTINGS[told.setting],
    )  # fmt: skip
    trainer = SFTTrainer(
        model=model, args=config, train_dataset=Dataset.from_dict({"input_ids": texts}), callbacks=[times],
        processing_class=AutoTokenizer.from_pretrained(ROOT / "src" / "pakar" / "starter"),
        peft_config=LoraConfig(r=RANK, lora_alpha=2 * RANK, lora_dropout=0.05, target_modules="all-linear", task_type="CAUSAL_LM"),
    )  # fmt: skip
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


if __name__ == "__main__":
    main()
