from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers.models.llama import modeling_llama

from pakar.train import haste
from pakar.train.haste import liger
from tests import tiny


class _Fused(torch.nn.Module):
    """Stands for a layer that only a GPU can compute."""


ASKED: list[dict[str, bool]] = []


def _as_liger_does(model: Any, kernels: dict[str, bool]) -> None:
    assert not any(kernels.values()), "loss and positions are left alone"
    ASKED.append(kernels)
    modeling_llama.LlamaRMSNorm = _Fused  # type: ignore[assignment,misc]
    for layer in model.model.layers:
        layer.input_layernorm.forward = lambda hidden: hidden


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liger, "is_liger_kernel_available", lambda: True)
    monkeypatch.setattr(liger, "apply_liger_kernel", _as_liger_does)


@pytest.mark.usefixtures("installed")
def test_layers_of_this_model_are_replaced_and_those_of_models_to_come_are_not() -> None:
    model, before = tiny.model(), modeling_llama.LlamaRMSNorm
    haste.hasten(model, "cuda")
    norm = model.model.layers[0].input_layernorm
    assert norm(kept := torch.ones(3)) is kept, "nothing replaces it once more"
    assert modeling_llama.LlamaRMSNorm is before


@pytest.mark.usefixtures("installed")
def test_a_model_that_is_only_planned_or_on_a_cpu_is_left_as_it_is() -> None:
    for device in ("cpu", "gpu"):
        model = tiny.model()
        liger.hasten(model, device)
        assert not any("forward" in vars(module) for module in model.modules())


def test_without_liger_nothing_happens() -> None:
    model = tiny.model()
    liger.hasten(model, "cuda")
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("activation", "left"), [("silu", False), ("gelu", True)])
def test_gated_layers_with_another_activation_are_not_given_to_liger(activation: str, left: bool) -> None:
    model = tiny.model()
    model.config.hidden_act = activation
    liger.hasten(model, "cuda")
    assert ("swiglu" in ASKED[-1]) is left
