from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from transformers.models.gemma2.modeling_gemma2 import Gemma2RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from pakar.train.haste import norms


def outcome(layer: torch.nn.Module, form: torch.dtype) -> list[torch.Tensor]:
    torch.manual_seed(0)
    layer.zero_grad()
    x = (torch.randn(5, 7, 32) * torch.logspace(-2, 2, 7)[:, None]).to(form).requires_grad_()
    out = layer(x)
    (out.float() * torch.randn(5, 7, 32)).sum().backward()
    assert x.grad is not None
    return [out, x.grad, *(weight.grad for weight in layer.parameters() if weight.grad is not None)]


@pytest.mark.parametrize("form", [torch.float32, torch.bfloat16])
def test_an_rms_norm_gives_the_values_and_gradients_of_transformers(form: torch.dtype) -> None:
    layer = LlamaRMSNorm(32).to(form)
    torch.nn.init.normal_(layer.weight)
    expected = outcome(layer, form)
    norms.hasten(layer, "cpu")
    assert "forward" in vars(layer)
    near = 0.03 if form == torch.bfloat16 else 1e-5
    for one, other in zip(outcome(layer, form), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=near, atol=near)


def test_a_norm_of_another_formula_is_left_alone() -> None:
    layer = Gemma2RMSNorm(32)  # its weight is added to one
    norms.hasten(layer, "cpu")
    assert "forward" not in vars(layer)


def test_a_layer_norm_under_autocast_stays_in_16_bits() -> None:
    layer = torch.nn.LayerNorm(32).bfloat16()
    torch.nn.init.normal_(layer.weight)
    x = torch.randn(4, 32).bfloat16()
    expected = functional.layer_norm(x.float(), (32,), layer.weight.float(), layer.bias.float())
    norms.hasten(layer, "cpu")
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.01, atol=0.01)


def test_on_other_devices_only_rms_norms_take_the_short_way() -> None:
    layers = torch.nn.ModuleList([LlamaRMSNorm(8), torch.nn.LayerNorm(8)])
    norms.hasten(layers, "cuda")
    assert ["forward" in vars(layer) for layer in layers] == [True, False]
