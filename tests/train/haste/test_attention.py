from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from pakar.train.haste.attention import attention

attention_module = importlib.import_module("pakar.train.haste.attention")


@pytest.mark.parametrize("heads", [4, 2])
def test_short_attention_is_the_attention_of_torch(heads: int) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Module()
    layer.num_key_value_groups = 4 // heads  # type: ignore[assignment]
    mask = torch.ones(12, 12, dtype=torch.bool).tril().expand(3, 1, 12, 12).clone()
    mask[:, :, 6:, :6] = False
    mask[:, :, 11] = False  # padding, which sees nothing

    def grown(attend: Callable[..., Any], form: torch.dtype) -> list[torch.Tensor]:
        torch.manual_seed(2)
        shapes = ((3, 4, 12, 8), (3, heads, 12, 8), (3, heads, 12, 8))
        given = [torch.randn(shape).to(form).requires_grad_() for shape in shapes]
        out = attend(layer, *given, mask, dropout=0.0, scaling=None)[0]
        (out[:, :11].float() ** 2).sum().backward()
        return [out[:, :11].float(), *(one.grad.float() for one in given if one.grad is not None)]

    for one, other in zip(grown(attention, torch.bfloat16), grown(sdpa_attention_forward, torch.float32), strict=True):
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.06)


def test_float32_goes_the_usual_way(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.dtype] = []

    def usual(_: Any, query: torch.Tensor, *__: Any, **___: Any) -> tuple[torch.Tensor, None]:
        seen.append(query.dtype)
        return query, None

    monkeypatch.setattr(attention_module, "sdpa_attention_forward", usual)
    query = torch.randn(1, 2, 4, 8, requires_grad=True)
    attention(torch.nn.Module(), query, query, query, torch.ones(1, 1, 4, 4, dtype=torch.bool))
    assert seen == [torch.float32]
