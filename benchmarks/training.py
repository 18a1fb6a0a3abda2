"""Training beside TRL's SFTTrainer: speed at LoRA, share of the machine's matrix rate at full training, and the same outcome.

    python -m benchmarks.training --trl-python /path/to/venv/bin/python        # an environment with trl, peft, transformers, torch

Real tokens (no padding) a second of optimizer steps, the first two left out, which warm up; the whole time with them is shown
beside. Both train on the answers' tokens only, with the same tokenizer, template, LoRA (rank 16, all linear layers, dropout 0.05).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils import benchmark

from benchmarks import training_inputs as inputs
from benchmarks.machine import ROOT, describe, publish, table
from pakar import files

WARM_UP = 2
PAIRS = 300
CONTEXT = 1024
RANK = 16

_PLAIN = {"gradient_checkpointing": False}
_LIKE = {**_PLAIN, "train_sampling_strategy": "group_by_length"}
_PACKED = {**_PLAIN, "packing": True, "per_device_train_batch_size": 4}
TRL_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "TRL, defaults": {},
    "TRL, without checkpointing": _PLAIN,
    "TRL, batches of like length, weights in bfloat16": _LIKE,
    "TRL, packed, weights in bfloat16": _PACKED,
    "TRL, packed, weights in bfloat16, compiled": {**_PACKED, "torch_compile": True},
}


class Speed(NamedTuple):
    """What one training did.

    Attributes:
        tokens_per_second: Of the steps after the warm-up.
        whole: Of all steps, compilation included.
        steps: Optimizer steps.
    """

    tokens_per_second: float
    whole: float
    steps: int


def speed(tokens: Sequence[float], seconds: Sequence[float]) -> Speed:
    """Real tokens and seconds of every step → tokens a second."""
    after = slice(WARM_UP, None)
    return Speed(sum(tokens[after]) / sum(seconds[after]), sum(tokens) / sum(seconds), len(seconds))


def trl(python: str, place: Path, told: Mapping[str, Any]) -> dict[str, Any]:
    """Run `peers/trl_sft.py` in its environment."""
    command = [
        python,
        str(ROOT / "benchmarks" / "peers" / "trl_sft.py"),
        json.dumps({"out": str(place / "trl"), **told}),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


def pakar(place: Path, name: str, recipe: Mapping[str, Any]) -> Path:
    """Prepare and train by the command line; returns the run directory."""
    path = place / f"{name}.yaml"
    path.write_text(json.dumps({"name": name, **recipe}), encoding="utf-8")  # JSON is YAML
    for stage in ("prepare", "train"):
        command = [sys.executable, "-m", "pakar", stage, str(path), "-q", "--runs-dir", str(place / "runs")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
    return place / "runs" / name


def recipe_for(model: Path, data: Path, **train: Any) -> dict[str, Any]:
    """A recipe that cleans and drops nothing, so that both tools train on the same rows."""
    shape = {"kind": "pairs", "question": "question", "answer": "answer"}
    return {
        "model": {"base": str(model), "context_tokens": CONTEXT},
        "prepare": {"sources": [{"path": str(data), "shape": shape}], "operators": [], "split": {"validation": 0, "test": 0},
                    "near_duplicates": {"treatment": "ignore"}},
        "train": {"epochs": 3, "batch_size": 16, "method": {"kind": "lora", "rank": RANK, "alpha": 2 * RANK}, **train},
    }  # fmt: skip


def of_run(run: Path) -> Speed:
    """Speed of a finished Pakar training."""
    records = files.read_json_lines(run / "train" / "metrics.jsonl")
    seconds = [record["seconds"] for record in records]
    return speed([r["tokens_per_second"] * r["seconds"] for r in records], seconds)


def matrix_rate(size: int = 2048, times: int = 20) -> float:
    """FLOP/s of products of square bfloat16 matrices on this machine; the best of three."""
    a = b = torch.randn(size, size, dtype=torch.bfloat16)
    rates = []
    for _ in range(3):
        started = benchmark.Timer("a @ b", globals={"a": a, "b": b}).timeit(times)
        rates.append(2 * size**3 / started.mean)
    return max(rates)


def side_by_side(options: argparse.Namespace, place: Path, shape: str) -> list[dict[str, object]]:
    """One table: TRL at its defaults and at other settings, and Pakar at its defaults."""
    model = inputs.write_model(place / shape.replace(" ", "-"), shape)
    data = inputs.pairs(PAIRS)
    conversations = inputs.write_conversations(place / "pairs.jsonl", data)
    found: dict[str, Speed] = {}
    for name, settings in list(TRL_SETTINGS.items())[: options.settings]:
        dtype = "bfloat16" if "weights in bfloat16" in name else "float32"
        told = {
            "model": str(model),
            "data": str(conversations),
            "lora": RANK,
            "dtype": dtype,
            "steps": options.steps,
            "settings": settings,
        }
        measured = trl(options.trl_python, place, told)
        found[name] = speed(measured["seen"], measured["seconds"])
    run = pakar(place, shape.replace(" ", "-"), recipe_for(model, inputs.write_csv(place / "pairs.csv", data)))
    found["Pakar, defaults"] = of_run(run)
    return [_line(name, one, found) for name, one in found.items()]


def _line(name: str, one: Speed, found: Mapping[str, Speed]) -> dict[str, object]:
    default = found["TRL, defaults"].tokens_per_second
    best = max(other.tokens_per_second for label, other in found.items() if label.startswith("TRL"))
    return {
        "training": name,
        "tokens/s": round(one.tokens_per_second),
        "with the first steps": round(one.whole),
        "steps": one.steps,
        "times TRL's defaults": f"{one.tokens_per_second / default:.2f}",
        "times TRL's best": f"{one.tokens_per_second / best:.2f}",
    }


def utilisation(place: Path, epochs: int) -> list[dict[str, object]]:
    """Long full training: how much of the rate of bare matrix products arrives in the training.

    Counted are 6 FLOP for every weight of a matrix and token (Kaplan et al. 2020, section 2.1), embeddings left out but for
    the output, which is counted at supervised positions only, and 12 · layers · width · length / 2 for attention.
    """
    model = inputs.write_model(place / "full", "16 M Llama")
    data = inputs.write_csv(place / "long.csv", inputs.pairs(1200, seed=2))
    rate = matrix_rate()
    recipe = recipe_for(model, data, method={"kind": "full"}, epochs=epochs)
    run = pakar(place, "full-training", recipe)
    records = files.read_json_lines(run / "train" / "metrics.jsonl")[WARM_UP:]
    seconds = sum(record["seconds"] for record in records)
    tokens = sum(record["tokens_per_second"] * record["seconds"] for record in records)
    supervised = records[-1]["tokens"] - files.read_json_lines(run / "train" / "metrics.jsonl")[WARM_UP - 1]["tokens"]
    width, layers, inner, vocabulary = 384, 8, 1024, 6144
    inside = layers * (4 * width**2 + 3 * width * inner)
    operations = 6 * inside * tokens + 6 * width * vocabulary * supervised
    return [{
        "training": "16 M Llama, all weights, compiled", "tokens/s": round(tokens / seconds), "GFLOP/s": round(operations / seconds / 1e9),
        "matrix rate, GFLOP/s": round(rate / 1e9), "share": f"{operations / seconds / rate:.0%}",
        "matrix rate after": f"{matrix_rate() / 1e9:.0f}",
    }]  # fmt: skip


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trl-python", required=True)
    parser.add_argument(
        "--settings", type=int, default=len(TRL_SETTINGS), help="how many of TRL's settings, from the first"
    )
    parser.add_argument("--steps", type=int, default=14, help="optimizer steps of each of TRL's trainings")
    parser.add_argument(
        "--shapes", nargs="*", default=[*inputs.SHAPES], choices=[*inputs.SHAPES], help="models to train with LoRA"
    )
    parser.add_argument("--full-epochs", type=int, default=3, help="epochs of full training; 0 leaves it out")
    told = parser.parse_args()
    parts = ["# Training, beside TRL", str(__doc__).split("\n\n", 2)[2].strip()]
    for shape in told.shapes:
        with tempfile.TemporaryDirectory() as place:
            parts += [f"## {shape}, LoRA", table(side_by_side(told, Path(place), shape))]
    with tempfile.TemporaryDirectory() as place:
        if told.full_epochs:
            parts += ["## Full training", table(utilisation(Path(place), told.full_epochs))]
    version = subprocess.run(
        [told.trl_python, "-c", "import trl; print(trl.__version__)"], capture_output=True, text=True, check=True
    )
    parts.append(f"Machine: {describe(['torch', 'transformers', 'peft'])}; TRL {version.stdout.strip()}")
    publish("training", *parts)


if __name__ == "__main__":
    main()
