from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import BitNetConfig, GemmaConfig, LlamaConfig, PretrainedConfig, Qwen2Config
from transformers.models.bitnet.modeling_bitnet import BitNetMLP
from transformers.models.gemma.modeling_gemma import GemmaMLP
from transformers.models.llama.modeling_llama import LlamaMLP
from transformers.models.qwen2.modeling_qwen2 import Qwen2MLP
from transformers.models.t5gemma.configuration_t5gemma import T5GemmaModuleConfig
from transformers.models.t5gemma.modeling_t5gemma import T5GemmaMLP

from pakar.train.haste import gated

SMALL: dict[str, Any] = {"hidden_size": 12, "intermediate_size": 40, "num_attention_heads": 2}


def layer(kind: Any, config: PretrainedConfig) -> torch.nn.Module:
    torch.manual_seed(0)
    module: torch.nn.Module = kind(config)
    return module


def outcome(module: torch.nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    module.zero_grad()
    leaf = x.clone().requires_grad_()
    result = module(leaf)
    (result * torch.linspace(-1, 1, result.shape[-1])).sum().backward()
    gradients = [tensor.grad for tensor in (leaf, *module.parameters()) if tensor.grad is not None]
    return [result.detach(), *gradients]


@pytest.mark.parametrize(("kind", "config"), [(LlamaMLP, LlamaConfig(**SMALL)), (Qwen2MLP, Qwen2Config(**SMALL))])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_are_the_same_to_the_bit(
    kind: type[torch.nn.Module], config: PretrainedConfig, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, x = layer(kind, config).to(dtype), torch.randn(3, 7, 12).to(dtype)
    expected = [tensor.clone() for tensor in outcome(module, x)]
    gated.hasten(module)
    monkeypatch.setattr(gated, "_IN_CACHE", 160)  # several pieces, the last one shorter
    assert "forward" in vars(module)
    for one, other in zip(outcome(module, x), expected, strict=True):
        assert torch.equal(one, other)


def test_a_tensor_less_is_kept_for_the_backward_pass() -> None:
    def kept(module: torch.nn.Module) -> int:
        wide: set[int] = set()

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            if tensor.shape[-1] == SMALL["intermediate_size"] and not isinstance(tensor, torch.nn.Parameter):
                wide.add(tensor.data_ptr())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            alive = module(torch.randn(5, 9, 12, requires_grad=True))
        assert alive.requires_grad
        return len(wide)

    module = layer(LlamaMLP, LlamaConfig(**SMALL))
    usual = kept(module)
    gated.hasten(module)
    assert kept(module) == usual - 1


def test_layers_with_another_formula_are_left_alone() -> None:
    class Scaled(LlamaMLP):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 0.5 * super().forward(x)  # type: ignore[no-any-return, no-untyped-call]

    others = (
        layer(GemmaMLP, GemmaConfig(**SMALL)),
        layer(Scaled, LlamaConfig(**SMALL)),
        layer(BitNetMLP, BitNetConfig(**SMALL)),  # has a norm on the way
        layer(T5GemmaMLP, T5GemmaModuleConfig(**SMALL | {"hidden_activation": "silu", "dropout_rate": 0.5})).eval(),
    )
    for module in others:
        gated.hasten(module)
        assert "forward" not in vars(module)
