"""Training beside TRL's SFTTrainer: speed at LoRA, share of the machine's matrix rate at full training, and the same outcome.

    python -m benchmarks.training --trl-python /path/to/venv/bin/python        # an environment with trl, peft, transformers, torch

Real tokens (no padding) a second of optimizer steps, the first two left out, which warm up. All train on the answers' tokens only,
with the same rows, tokenizer, template and LoRA (rank 16, all linear layers, dropout 0.05). Tools take turns, round by round; shown
are the median of the rounds and their range. TRL stops after about as many rows as are named, Pakar trains one epoch on all 300.
"Best" is the fastest of TRL's settings in the table.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils import benchmark
from transformers import AutoConfig

from benchmarks import training_inputs as inputs
from benchmarks.machine import ROOT, describe, publish, table
from pakar import files

WARM_UP = 2
PAIRS = 300
CONTEXT = 1024
RANK = 16
FULL = "16 M Llama"
STEADY = 10
"""Steps of full training left out: in some of them new shapes are compiled."""

_PLAIN = {"gradient_checkpointing": False}
_LIKE = {**_PLAIN, "train_sampling_strategy": "group_by_length"}
_PACKED = {**_PLAIN, "packing": True, "max_length": 512}


class Setting(NamedTuple):
    """A way to run TRL.

    Attributes:
        name: As in the table.
        rows: About how many rows a step takes.
        settings: Of its SFTConfig.
        dtype: Number format of the weights; with bfloat16 it runs about twice as fast as with autocast.
    """

    name: str
    rows: int
    settings: Mapping[str, Any]
    dtype: str = "bfloat16"


TRL_SETTINGS = (
    Setting("TRL, defaults", 8, {}, "float32"),
    Setting("TRL, batches of like length, weights in bfloat16", 8, _LIKE),
    Setting("TRL, the same, 16 rows a batch", 16, {**_LIKE, "per_device_train_batch_size": 16}),
    Setting("TRL, the same, 32 rows a batch", 32, {**_LIKE, "per_device_train_batch_size": 32}),
    Setting("TRL, packed to 4 rows of 512, weights in bfloat16", 14, {**_PACKED, "per_device_train_batch_size": 4}),
    Setting("TRL, the same, compiled", 14, {**_PACKED, "per_device_train_batch_size": 4, "torch_compile": True}),
)


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


class Rounds(NamedTuple):
    """The same training, several times."""

    speeds: tuple[Speed, ...]

    @property
    def median(self) -> float:
        """Tokens a second."""
        return statistics.median(one.tokens_per_second for one in self.speeds)

    @property
    def range(self) -> str:
        """From the slowest to the fastest."""
        rates = [one.tokens_per_second for one in self.speeds]
        return f"{min(rates):,.0f} to {max(rates):,.0f}"


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
        "train": {"epochs": 1, "batch_size": 16, "method": {"kind": "lora", "rank": RANK, "alpha": 2 * RANK}, **train},
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
        started = benchmark.Timer("a @ b", globals={"a": a, "b": b}, num_threads=torch.get_num_threads()).timeit(times)
        rates.append(2 * size**3 / started.mean)
    return max(rates)


def side_by_side(options: argparse.Namespace, place: Path, shape: str) -> list[dict[str, object]]:
    """One table: TRL at its defaults and at other settings, and Pakar at its defaults."""
    model = inputs.write_model(place / shape.replace(" ", "-"), shape)
    data = inputs.pairs(PAIRS)
    conversations = inputs.write_conversations(place / "pairs.jsonl", data)
    recipe = recipe_for(model, inputs.write_csv(place / "pairs.csv", data))
    found: dict[str, list[Speed]] = {}
    for number in range(options.rounds):
        for one in TRL_SETTINGS[: options.settings]:
            told = {"model": str(model), "data": str(conversations), "lora": RANK, "dtype": one.dtype,
                    "steps": WARM_UP + max(2, round(options.rows / one.rows)), "settings": one.settings}  # fmt: skip
            measured = trl(options.trl_python, place, told)
            found.setdefault(one.name, []).append(speed(measured["seen"], measured["seconds"]))
        found.setdefault("Pakar, defaults", []).append(of_run(pakar(place, f"round-{number}", recipe)))
    rounds = {name: Rounds(tuple(speeds)) for name, speeds in found.items()}
    return [_line(name, one, rounds) for name, one in rounds.items()]


def _line(name: str, one: Rounds, found: Mapping[str, Rounds]) -> dict[str, object]:
    default = found["TRL, defaults"].median
    best = max(other.median for label, other in found.items() if label.startswith("TRL"))
    return {
        "training": name,
        "tokens/s": round(one.median),
        "range": one.range,
        "with the first steps": round(statistics.median(speed.whole for speed in one.speeds)),
        "steps": one.speeds[0].steps,
        "times TRL's defaults": f"{one.median / default:.2f}",
        "times TRL's best": f"{one.median / best:.2f}",
    }


def utilisation(place: Path, epochs: int) -> list[dict[str, object]]:
    """Long full training: how much of the rate of bare matrix products arrives in the training.

    Counted are 6 FLOP for every weight of a matrix and token (Kaplan et al. 2020, section 2.1), embeddings left out but for
    the output, which is counted at supervised positions only. Attention's products are not counted, so the share is a little low.
    """
    model = inputs.write_model(place / "full", FULL)
    data = inputs.write_csv(place / "long.csv", inputs.pairs(1200, seed=2))
    before = matrix_rate()
    recipe = recipe_for(model, data, method={"kind": "full"}, epochs=epochs, compute={"compile": True})
    records = files.read_json_lines(pakar(place, "full-training", recipe) / "train" / "metrics.jsonl")
    rate = max(before, matrix_rate())
    after = records[STEADY:]
    seconds = sum(record["seconds"] for record in after)
    tokens = sum(record["tokens_per_second"] * record["seconds"] for record in after)
    supervised = records[-1]["tokens"] - records[STEADY - 1]["tokens"]
    config = AutoConfig.from_pretrained(model)
    width, inner = config.hidden_size, config.intermediate_size
    inside = config.num_hidden_layers * (4 * width**2 + 3 * width * inner)
    operations = 6 * inside * tokens + 6 * width * config.vocab_size * supervised
    return [{
        "training": f"{FULL}, all weights, compiled", "steps": len(after), "tokens/s": round(tokens / seconds),
        "GFLOP/s": round(operations / seconds / 1e9), "matrix rate, GFLOP/s": round(rate / 1e9), "share": f"{operations / seconds / rate:.0%}",
    }]  # fmt: skip


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trl-python", required=True)
    parser.add_argument(
        "--settings", type=int, default=len(TRL_SETTINGS), help="how many of TRL's settings, from the first"
    )
    parser.add_argument("--rows", type=int, default=160, help="about how many rows each of TRL's trainings reads")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--shapes", nargs="*", default=[*inputs.SHAPES], choices=[*inputs.SHAPES], help="models to train with LoRA"
    )
    parser.add_argument("--full-epochs", type=int, default=3, help="epochs of full training; 0 leaves it out")
    told = parser.parse_args()
    version = subprocess.run(
        [told.trl_python, "-c", "import trl; print(trl.__version__)"], capture_output=True, text=True, check=True
    )
    about = str(__doc__).split("\n\n", 2)[2].strip()
    for shape in told.shapes:
        with tempfile.TemporaryDirectory() as place:
            options = f"Options: {told.rows} rows for TRL, {told.rounds} rounds, {told.settings} settings of TRL."
            publish(f"training_{_slug(shape)}", f"# LoRA beside TRL: {shape}", about, table(side_by_side(told, Path(place), shape)),
                    options, _machine(version.stdout.strip()))  # fmt: skip
    if told.full_epochs:
        with tempfile.TemporaryDirectory() as place:
            publish("training_full", "# Full training, compiled", str(utilisation.__doc__).split("\n\n")[1].strip(),
                    table(utilisation(Path(place), told.full_epochs)), _machine(version.stdout.strip()))  # fmt: skip


def _machine(trl_version: str) -> str:
    return f"Machine: {describe(['torch', 'transformers', 'peft'])}; TRL {trl_version}"


def _slug(shape: str) -> str:
    return shape.lower().replace(" ", "_").replace("-", "")


if __name__ == "__main__":
    main()
