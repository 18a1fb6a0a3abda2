from __future__ import annotations

import pytest
import torch
from transformers.activations import ACT2FN

from pakar.train.haste import activations


@pytest.mark.parametrize("name", ["gelu_new", "gelu_fast", "gelu_pytorch_tanh"])
def test_the_tanh_form_of_gelu_gives_the_same_values_and_gradients(name: str) -> None:
    layer = ACT2FN[name]
    x = torch.linspace(-8, 8, 401, dtype=torch.double, requires_grad=True)
    expected = layer(x)
    (by_x,) = torch.autograd.grad(expected.sum(), x)
    activations.hasten(layer)
    found = layer(x)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), x)[0], by_x, rtol=1e-6, atol=1e-9)
    assert "forward" in vars(layer)


@pytest.mark.parametrize("name", ["gelu", "quick_gelu", "silu"])
def test_other_activations_are_left_alone(name: str) -> None:
    layer = ACT2FN[name]
    activations.hasten(layer)
    assert "forward" not in vars(layer)
