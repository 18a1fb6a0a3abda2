"""How well `pakar plan` foretells the peak memory of a training: planned, measured, and their ratio.

    python -m benchmarks.plan_memory [NAME ...]

Each setting trains a model with random weights in a process of its own for some steps. Measured is, on a GPU, torch's
`max_memory_allocated`; on a CPU the largest resident memory of the process less what it was when the libraries had been
imported. Checkpoints are written as in a run. The plan is made beforehand, from configuration, recipe and lengths alone.
The share of holes in the heap was fitted to the first eight settings; the others were not looked at before.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks import machine
from pakar import shards
from pakar.models import base as base_models
from pakar.models.quantise import library
from pakar.recipe import Recipe
from pakar.shards import TokenShards
from pakar.train import adapter, allocator, haste, interrupt, loop, plan, precision
from pakar.train.checkpoint import Position
from pakar.train.saver import Saver
from pakar.train.training import start

ROWS, STEPS, SEED = 104, 6, 1
FITTED = 8
"""Settings that `pakar.train.plan.memory.HOLES` was fitted to."""


class Setting(NamedTuple):
    """One training: the shape of its model, its method, its rows."""

    name: str
    shape: dict[str, Any]
    train: dict[str, Any]
    tokens: int = 2048
    context: int = 512
    mean_tokens: int = 180
    compute: Mapping[str, Any] = MappingProxyType({})


def _llama(width: int, layers: int, vocabulary: int, heads: int = 8) -> dict[str, Any]:
    return {"model_type": "llama", "hidden_size": width, "intermediate_size": 3 * width, "num_hidden_layers": layers,
            "num_attention_heads": heads, "num_key_value_heads": heads // 2, "vocab_size": vocabulary, "max_position_embeddings": 4096}  # fmt: skip


LORA, QLORA, FULL = {"kind": "lora", "rank": 16}, {"kind": "qlora", "rank": 16}, {"kind": "full"}
STARTER, GPT2, LLAMA_160M = {"starter": True}, {"model_type": "gpt2"}, _llama(1024, 8, 32_000, 16)
LLAMA_16M = _llama(384, 8, 6_144, 6) | {"num_key_value_heads": 6, "tie_word_embeddings": True}
LLAMA_40M = _llama(512, 6, 16_000) | {"num_key_value_heads": 8}
ATTENTION = {"kind": "lora", "rank": 8, "targets": ["q_proj", "v_proj"], "dropout": 0.0}
APART, AGAIN = {"packing": False}, {"gradient_checkpointing": True}
SETTINGS = {
    one.name: one
    for one in (
        Setting("starter, LoRA", STARTER, {"method": LORA}, 4096),
        Setting("16 M Llama, LoRA", LLAMA_16M, {"method": LORA}, 2048),
        Setting("16 M Llama, full, not packed", LLAMA_16M, {"method": FULL}, 4096, compute=APART),
        Setting("16 M Llama, QLoRA", LLAMA_16M, {"method": QLORA}, 1024),
        Setting("GPT-2 small shape, LoRA, not packed", GPT2, {"method": LORA}, 2048, compute=APART),
        Setting("GPT-2 small shape, full", GPT2, {"method": FULL}, 1024),
        Setting("starter, full, long rows", STARTER, {"method": FULL, "batch_size": 8}, 2048, 1024, 500),
        Setting("120 M Llama of a large vocabulary, LoRA", _llama(384, 12, 128_256), {"method": LORA}, 2048),
        Setting("160 M Llama, QLoRA", LLAMA_160M, {"method": QLORA}, 2048),
        Setting("160 M Llama, full, computed again", LLAMA_160M, {"method": FULL}, 2048, compute=AGAIN),
        Setting("40 M Llama, LoRA of attention", LLAMA_40M, {"method": ATTENTION}, 3072, 768, 260),
        Setting("40 M Llama, full", LLAMA_40M, {"method": FULL}, 1536, 512, 90),
        Setting("GPT-2 shape of 4 layers, QLoRA", {"model_type": "gpt2", "n_layer": 4}, {"method": QLORA}, 3072),
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="settings; all of them if none is named")
    parser.add_argument("--step", choices=("make", "plan", "train"))
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    if asked.step == "train":
        allocator.begin_again()
    if asked.step:
        return print(json.dumps(_STEPS[asked.step](SETTINGS[asked.names[0]], asked.folder)))
    rows = [_row(SETTINGS[name]) for name in asked.names or SETTINGS]
    if asked.names:
        return print(machine.table(rows))
    off = [abs(float(str(row["planned / measured"])) - 1) for row in rows]
    machine.publish("plan_memory", "# Peak memory, planned and measured", machine.describe(["torch", "transformers", "peft", "bitsandbytes"]),
                    machine.table(rows), f"Furthest off: {max(off):.0%}; of those that nothing was fitted to (from the {FITTED + 1}th on): {max(off[FITTED:]):.0%}. Memory in MiB, above the idle process.")  # fmt: skip
    return None


def _row(one: Setting) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:

        def do(step: str) -> Any:
            command = machine.python("-m", "benchmarks.plan_memory", one.name, "--step", step, "--folder", folder)
            return json.loads(machine.measure(command).output.splitlines()[-1])

        do("make")
        planned, measured = do("plan"), do("train")
    mib = {"planned": planned["total"] / 2**20, "measured": measured["peak"] / 2**20}
    print(f"{one.name}: {mib['planned']:.0f} / {mib['measured']:.0f} MiB", file=sys.stderr, flush=True)
    return {"setting": one.name, "weights": planned["weights"], "tokens a pass": one.tokens, "largest pass": planned["pass"],
            "planned": round(mib["planned"]), "measured": round(mib["measured"]), "planned / measured": f"{mib['planned'] / mib['measured']:.3f}",
            "peak at": planned["when"]}  # fmt: skip


def _make(one: Setting, folder: Path) -> None:
    """A model directory with random weights, and token shards."""
    if "starter" not in one.shape:
        torch.manual_seed(SEED)
        shape = dict(one.shape)
        config = AutoConfig.for_model(shape.pop("model_type"), **shape)
        model: Any = AutoModelForCausalLM  # its methods have no types
        model.from_config(config, dtype=torch.bfloat16).save_pretrained(folder / "model")
    chance = np.random.default_rng(SEED)
    lengths = np.clip(chance.lognormal(np.log(one.mean_tokens), 0.4, ROWS), 16, one.context).astype(int)
    rows = [
        (f"row-{place}", chance.integers(5, 5_000, n).tolist(), [int(at > n // 3) for at in range(n)])
        for place, n in enumerate(lengths)
    ]
    for split, part in (("train", rows[:-8]), ("validation", rows[-8:])):
        (folder / split).mkdir()
        shards.write(folder / split / shards.SHARD_NAME.format(0), part)


def _recipe(one: Setting, folder: Path) -> Any:
    base = "starter" if "starter" in one.shape else str(folder / "model")
    return Recipe.model_validate({
        "name": "memory", "model": {"base": base, "context_tokens": one.context},
        "prepare": {"sources": [{"path": "none.csv"}]},
        "train": {"epochs": 1, "compute": {"micro_batch_tokens": one.tokens, "compile": False, **one.compute}, **one.train},
    })  # fmt: skip


def _plan(one: Setting, folder: Path) -> dict[str, Any]:
    split = TokenShards(folder / "train")
    learnt = float(split.supervised().sum() / split.lengths().sum())
    found = plan.look(_recipe(one, folder), data=plan.Lengths(len(split), split.lengths(), learnt))
    for part in found.memory.components:
        print(f"  {part.name}: {part.bytes / 2**20:.1f}")
    shape = f"{found.setting.rows} × {found.setting.width}"
    return {"total": found.memory.total, "weights": found.weights.total, "pass": shape, "when": found.memory.when}


def _train(one: Setting, folder: Path) -> dict[str, float]:
    library()
    for name in ("peft", "torch._dynamo"):
        importlib.import_module(name)  # the idle process has imported what it will use

    recipe = _recipe(one, folder)
    torch.manual_seed(SEED)
    allocator.keep_compact()
    idle = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak of the imports
    base = (
        base_models.find(recipe.model) if "starter" in one.shape else base_models.BaseModel("random", folder / "model")
    )
    model = adapter.load_trainable(base, recipe.train.method, precision.compute_dtype(recipe.train))
    split, validation = TokenShards(folder / "train"), TokenShards(folder / "validation")
    training = start(model, recipe.train, split, validation, seed=SEED)
    with interrupt.listening() as stop, haste.attention_on(base_models.device().type):
        saver = Saver(folder / "checkpoints", Position({}, "", training.total_steps), stop)
        for record in loop.steps(training, saver.save):
            if record["step"] >= min(STEPS, training.total_steps):
                break
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else _resident("VmHWM") - idle
    return {"peak": peak, "idle": idle}


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


_STEPS = {"make": _make, "plan": _plan, "train": _train}

if __name__ == "__main__":
    main()
