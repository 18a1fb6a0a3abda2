from __future__ import annotations

import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.gpu_training import Part, Told
from benchmarks.machine import RESULTS, ROOT
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks import gpu_models, gpu_parts, gpu_training
from pakar.models import quantise

CPU = torch.device("cpu")
PLACE = gpu_parts.Place("tiny", CPU, row=64, steps=1)
TOLD = Told("tiny", "cpu", 64, 1)
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")
"""Newer versions of transformers have another word for it; GPU machines may have older ones."""


@pytest.fixture(autouse=True)
def as_before() -> Any:
    """`resume` makes the process deterministic; tests share one."""
    yield
    torch.use_deterministic_algorithms(mode=False)


@pytest.mark.parametrize("name", [name for name in gpu_parts.PARTS if name != "compile"])
def test_every_part_runs_on_a_cpu_and_no_check_fails(name: str) -> None:
    rows = [*gpu_parts.PARTS[name](PLACE)]
    assert rows
    assert not [row for row in rows if "FAILS" in str(row.get("result", ""))]
    for row in rows:
        if "training" in row:
            assert isinstance(row["tokens/s"], int)
            assert row["tokens/s"] > 0


@pytest.mark.slow
def test_one_command_runs_every_part_and_publishes_nothing_without_a_gpu(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu_training", "--shape", "tiny", "--device", "cpu", "--steps", "1"]
    before = {path: path.read_bytes() for path in RESULTS.iterdir()}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "Not published" in done.stdout
    assert done.stdout.count("\n## ") == 5
    assert "FAILS" not in done.stdout
    assert {path: path.read_bytes() for path in RESULTS.iterdir()} == before


def test_the_8b_shape_has_the_published_number_of_weights() -> None:
    told = gpu_models.SHAPES["llama-3-8b"]
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**told))
    assert sum(weight.numel() for weight in model.parameters()) == 8_030_261_248


def test_a_model_built_block_by_block_is_whole_and_in_4_bits() -> None:
    library: Any = quantise.library()
    built = gpu_models.build("tiny", CPU, torch.bfloat16, gpu_models.in_4_bits(library.nn.Linear4bit, torch.bfloat16))
    taken, weights = quantise.stored_bytes(built)
    assert weights == 2 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128)
    assert taken / weights < 0.85  # tables of levels weigh much on matrices this small
    assert len(quantise.layers(built)) == 14
    assert built.lm_head.weight.dtype == torch.bfloat16
    assert built(torch.arange(8)[None]).logits.isfinite().all()


def test_a_part_holds_no_model_when_it_begins_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[Any]] = []
    whole = gpu_models.build

    def build(*what: Any) -> Any:
        assert not [model for model in made if model() is not None]
        model = whole(*what)
        made.append(weakref.ref(model))
        return model

    monkeypatch.setattr(gpu_models, "build", build)
    assert len([*gpu_parts.PARTS["t4"](PLACE)]) == 2
    assert len([*gpu_parts.PARTS["qlora"](PLACE)]) == 3


def test_the_operations_of_a_token_are_counted_by_hand() -> None:
    frozen, added = 64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128, 4 * (128 + 128 + 96 + 96 + 192 * 3)
    expected = 2 * (4 * frozen + 6 * added + 6 * 100 * 64) + 4 * 64 * 320
    assert gpu_models.operations_per_token("tiny", 4, 100) == expected


def test_a_part_that_fails_or_runs_over_is_told_and_not_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    fails = Part("x", ("no_such_module", "part"), 60)
    slow = Part("x", ("timeit", "-s", "import time", "time.sleep(60)", "#"), 1)
    assert "no time was left" in str(gpu_training.run(slow, TOLD, left=60)[0]["problem"])
    monkeypatch.setattr(gpu_training, "_LEAST_SECONDS", 1)
    assert "exit 1: " in str(gpu_training.run(fails, TOLD, left=60)[0]["problem"])
    assert "not done after 1 s" in str(gpu_training.run(slow, TOLD, left=60)[0]["problem"])


def test_ratios_take_the_best_of_each_side_and_the_anchor() -> None:
    rows: list[gpu_training.Row] = [
        {"training": "Pakar a", "peak GiB": 8.0, "tokens/s": 100},
        {"training": "Pakar b", "peak GiB": 20.0, "tokens/s": 300},
        {"training": "TRL a", "peak GiB": 10.0, "tokens/s": 200},
    ]
    text = "\n".join(gpu_training.report([(gpu_training.QLORA, rows)], "NVIDIA H200", published_shape=True))
    assert "8.00 GiB, 1.08 times" in text
    assert "1.50 times TRL's fastest" in text
    assert "0.80 times TRL's least" in text
    alone = gpu_training.report([(gpu_training.QLORA, [{"part": "trl", "problem": "no trl"}])], "cpu", published_shape=False)  # fmt: skip
    assert "trl: no trl." in alone
    assert "No ratio: one of the two sides has no figures." in alone


def test_utilisation_is_told_by_the_published_peak_of_a_known_device_alone() -> None:
    rows: list[gpu_training.Row] = [{"training": "x", "model TFLOP/s": 494.7, "matrix TFLOP/s": 790.0}]
    assert "50.0% of 989.4" in "\n".join(gpu_training.report([(gpu_training.LORA, rows)], "NVIDIA H200", published_shape=True))  # fmt: skip
    assert "not known here" in "\n".join(
        gpu_training.report([(gpu_training.LORA, rows)], "Other", published_shape=True)
    )
