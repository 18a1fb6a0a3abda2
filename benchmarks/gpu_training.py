"""Training on a GPU at the shape of Llama 3 8B: memory and speed of QLoRA beside TRL + PEFT, LoRA's share of the device's rate,
a T4's memory, and checks of exactness.

    python -m benchmarks.gpu_training                                   # at most eight minutes on one GPU of 40 GiB and more
    python -m benchmarks.gpu_training --shape tiny --device cpu         # every code path, in a minute; publishes nothing

Its GPU figures HAVE NOT BEEN MEASURED YET: there is no `results/gpu_training.md` before the first run on a GPU.

Weights are random and made on the device, so nothing is downloaded. Every part is a process of its own with its own limit of
time; one that fails or runs over stands in the table as such. TRL is measured if it can be imported. Memory is the largest
`torch.cuda.max_memory_allocated` of the training; speed leaves three steps out, which warm up.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.gpu_models import SHAPES
from benchmarks.machine import RESULTS, ROOT, describe, publish, table

SECONDS = 460
"""For everything together."""
ANCHOR_GIB = 7.4
"""Peak memory of the same training in torchtune's README: Llama 3.1 8B, QLoRA, batch 2, packed rows of 2,048, an RTX 4090."""
PEAKS = {"H200": 989.4, "H100": 989.4, "A100": 312.0, "RTX 4090": 165.2}
"""Part of a device's name → TFLOP/s of dense bfloat16 products with float32 sums, by the maker's datasheets (SXM forms)."""
FORMULA = """Model FLOP utilisation = tokens/s × FLOP per token / peak. FLOP per token = Σ over layers (4 · frozen weights
+ 6 · added weights + 6 · tokens of an example · width) + 4 · width · vocabulary: forward, and backward by the inputs; no gradient
by frozen weights; half of attention is masked; what is computed a second time does not count."""
_LEAST_SECONDS = 10
Row = dict[str, object]


class Part(NamedTuple):
    """One process: the table it belongs to, a module with its arguments, and its limit of time."""

    title: str
    command: tuple[str, ...]
    seconds: int
    shape: str = ""


def _pakar(title: str, name: str, seconds: int, shape: str = "") -> Part:
    return Part(title, ("benchmarks.gpu_parts", name), seconds, shape)


def _trl(setting: str) -> Part:
    return Part(QLORA, ("benchmarks.peers.trl_gpu", "--setting", setting), 75)


QLORA, LORA, T4, CHECKS, COMPILED = (
    "QLoRA beside TRL + PEFT",
    "LoRA in bfloat16",
    "A T4's memory",
    "Checks",
    "torch.compile",
)
PARTS = (  # the most important first: what comes last may find no time left
    _pakar(QLORA, "qlora", 100),
    _trl("computed again"),
    _trl("kept"),
    _pakar(LORA, "lora", 60),
    _pakar(T4, "t4", 75),
    *(_pakar(CHECKS, name, 45, "small") for name in ("packing", "resume", "scaler", "batch-size")),
    _trl("kept, Liger"),
    _pakar(COMPILED, "compile", 120),
)


class Told(NamedTuple):
    """What the command line says: the model's shape, the device, tokens of a row, and steps that are timed."""

    shape: str
    device: str
    row: int
    steps: int


def run(part: Part, told: Told, left: float) -> list[Row]:
    """The rows of a part; a row that says why, where it did not come to its end."""
    name = " ".join(part.command[-1:])
    limit = min(part.seconds, left)
    if limit < _LEAST_SECONDS:
        return [{"part": name, "problem": "left out: no time was left"}]
    shape = part.shape if part.shape and told.shape != "tiny" else told.shape
    row = min(told.row, 1024) if part.shape else told.row
    command = [sys.executable, "-m", *part.command, "--shape", shape, "--device", told.device, "--row", str(row), "--steps", str(told.steps)]  # fmt: skip
    environment = {
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": _path(),
    }
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=limit, check=False, cwd=ROOT, env={**os.environ, **environment}
        )  # fmt: skip
    except subprocess.TimeoutExpired as over:
        so_far: Any = over.stdout or b""  # bytes, though text was asked for
        return [
            *_rows(so_far.decode() if isinstance(so_far, bytes) else so_far),
            {"part": name, "problem": f"not done after {limit:.0f} s"},
        ]
    if done.returncode:
        sys.stderr.write(f"== {' '.join(command)}\n{done.stderr[-4000:]}\n")
        why = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return [*_rows(done.stdout), {"part": name, "problem": f"exit {done.returncode}: {why[:200]}"}]
    return _rows(done.stdout)


def _path() -> str:
    return os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))


def _rows(output: str) -> list[Row]:
    return [json.loads(line) for line in output.splitlines() if line.startswith('{"') and line.endswith("}")]


def report(found: Sequence[tuple[str, list[Row]]], device: str, *, published_shape: bool) -> list[str]:
    """Markdown: a table for every title, the ratios, and what did not come to its end."""
    parts = []
    for title in dict.fromkeys(title for title, _ in found):
        rows = [row for name, more in found if name == title for row in more]
        good = [row for row in rows if "problem" not in row]
        if title == LORA:
            good = [row | _utilisation(row, device) for row in good]
        parts += [f"## {title}", *([table(good)] if good else [])]
        if title == QLORA:
            parts += _ratios(good, published_shape=published_shape)
        if title == LORA:
            parts.append(FORMULA)
        parts += [f"{row['part']}: {row['problem']}." for row in rows if "problem" in row]
    return parts


def _utilisation(row: Row, device: str) -> Row:
    reached, matrix = _number(row, "model TFLOP/s"), _number(row, "matrix TFLOP/s")
    peak = next((value for name, value in PEAKS.items() if name in device), None)
    share = f"{reached / peak:.1%} of {peak:,}" if peak else f"the published peak of {device} is not known here"
    return {"of the published peak": share, "of bare products": f"{reached / matrix:.1%}" if matrix else "not measured"}


def _ratios(rows: Sequence[Row], *, published_shape: bool) -> list[str]:
    """Best against best, and memory where both compute activations again."""
    own = [row for row in rows if str(row["training"]).startswith("Pakar")]
    peers = [row for row in rows if str(row["training"]).startswith("TRL")]
    said = []
    if published_shape and own:
        least = min(_number(row, "peak GiB") for row in own)
        said.append(
            f"Least memory: {least:.2f} GiB, {least / ANCHOR_GIB:.2f} times torchtune's {ANCHOR_GIB} GiB (an RTX 4090, another run)."
        )
    if own and peers:
        best, other = (max(_number(row, "tokens/s") for row in side) for side in (own, peers))
        said.append(f"Speed: Pakar's fastest setting is {best / other:.2f} times TRL's fastest one.")
        if published_shape:
            least, more = (min(_number(row, "peak GiB") for row in side) for side in (own, peers))
            said.append(f"Memory: Pakar's least is {least / more:.2f} times TRL's least.")
    return said or ["No ratio: one of the two sides has no figures."]


def _number(row: Row, key: str) -> float:
    value = row.get(key)
    return float(value) if isinstance(value, (int, float)) else 0.0


def device_name(device: str) -> str:
    """The GPU's own name; for a CPU that word."""
    return torch.cuda.get_device_name() if device.startswith("cuda") else device


def main() -> None:
    """Measure everything; publish if a GPU was measured at the published shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="llama-3-8b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--row", type=int, help="tokens of a row; empty: 2,048, and 64 for the tiny shape")
    parser.add_argument("--steps", type=int, default=8, help="steps that are timed, after three that warm up")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for everything together")
    asked = parser.parse_args()
    told = Told(asked.shape, asked.device, asked.row or (64 if asked.shape == "tiny" else 2048), asked.steps)
    measured = told.device.startswith("cuda") and told.shape == "llama-3-8b"
    name, end = device_name(told.device), time.monotonic() + asked.seconds
    found = []
    for part in PARTS:
        rows = run(part, told, end - time.monotonic())
        found.append((part.title, rows))
        sys.stderr.write("".join(f"{row}\n" for row in rows))
    libraries = ["torch", "transformers", "peft", "accelerate", "bitsandbytes", "trl", "liger-kernel"]
    text = [
        "# Training on a GPU",
        f"{told.shape}, random weights; LoRA of rank 16 on all linear layers; steps of 2 rows of {told.row:,} tokens.",
        *report(found, name, published_shape=measured),
        f"Machine: {name}; {describe(libraries)}",
    ]
    if not measured:
        print("\n\n".join([*text, "Not published: this is no GPU, or not the published shape."]))
        return
    publish("gpu_training", *text)
    if out := os.environ.get("OUT"):
        shutil.copy(RESULTS / "gpu_training.md", Path(out))


if __name__ == "__main__":
    main()
