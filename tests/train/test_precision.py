from __future__ import annotations

import pytest
import torch

from pakar import recipe
from pakar.errors import RecipeError
from pakar.models.architecture import architecture
from pakar.train import precision
from pakar.train.plan import devices
from pakar.train.plan.needs import Reckoner


def machine(
    monkeypatch: pytest.MonkeyPatch, *, gpu: tuple[int, int] | None, instructions: tuple[str, ...] = ()
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu is not None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)  # as it is on a T4, which only emulates it
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(instructions, True))


def section(wanted: str) -> recipe.Train:
    return recipe.Train.model_validate({"compute": {"precision": wanted}})


@pytest.mark.parametrize(
    ("gpu", "instructions", "expected"),
    [
        (None, (), "float32"),
        (None, ("avx512_f", "amx_tile"), "float32"),
        (None, ("avx512_bf16",), "bfloat16"),
        (None, ("amx_bf16",), "bfloat16"),
        ((7, 5), ("avx512_bf16",), "float16"),
        ((8, 0), (), "bfloat16"),
        ((9, 0), (), "bfloat16"),
    ],
)
def test_auto_takes_what_the_hardware_has_in_silicon(
    monkeypatch: pytest.MonkeyPatch, gpu: tuple[int, int] | None, instructions: tuple[str, ...], expected: str
) -> None:
    machine(monkeypatch, gpu=gpu, instructions=instructions)
    assert precision.chosen(section("auto")) == expected
    assert precision.compute_dtype(section("auto")) == getattr(torch, expected)


def test_bfloat16_is_refused_on_a_gpu_that_only_emulates_it(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, gpu=(7, 5))
    with pytest.raises(RecipeError, match="emulates bfloat16"):
        precision.chosen(section("bfloat16"))


@pytest.mark.parametrize("instructions", [(), ("amx_tile",), ("avx512_bf16",), ("amx_bf16",)])
def test_the_plan_takes_the_format_that_the_training_takes(
    monkeypatch: pytest.MonkeyPatch, instructions: tuple[str, ...]
) -> None:
    machine(monkeypatch, gpu=None, instructions=instructions)
    made = recipe.Recipe.model_validate({"name": "r", "prepare": {"sources": [{"path": "none.csv"}]}})
    planned = Reckoner(architecture(made.model), devices.this_machine()).precision(made)
    assert planned == precision.chosen(made.train)


def test_float16_is_refused_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, gpu=None)
    with pytest.raises(RecipeError, match="loss scaling"):
        precision.chosen(section("float16"))
