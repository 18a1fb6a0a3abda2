from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from pakar.train.haste.attention import attention

attention_module = importlib.import_module("pakar.train.haste.attention")


def grown(
    attend: Callable[..., Any], form: torch.dtype, mask: torch.Tensor | None, *, heads: int = 4, **how: Any
) -> list[torch.Tensor]:
    """Output and gradients, without the last position."""
    torch.manual_seed(2)
    layer = torch.nn.Module()
    layer.num_key_value_groups = 4 // heads  # type: ignore[assignment]
    shapes = ((3, 4, 12, 8), (3, heads, 12, 8), (3, heads, 12, 8))
    given = [torch.randn(shape).to(form).requires_grad_() for shape in shapes]
    out = attend(layer, *given, mask, dropout=0.0, scaling=None, **how)[0]
    (out[:, :11].float() ** 2).sum().backward()
    return [out[:, :11].float(), *(one.grad.float() for one in given if one.grad is not None)]


def test_short_attention_is_the_attention_of_torch() -> None:
    mask = torch.ones(12, 12, dtype=torch.bool).tril().expand(3, 1, 12, 12).clone()
    mask[:, :, 6:, :6] = False
    mask[:, :, 11] = False  # padding, which sees nothing
    for heads in (4, 2):
        same_as_torch(mask, heads=heads)


@pytest.mark.parametrize("heads", [4, 2])
@pytest.mark.parametrize("how", [{}, {"is_causal": True}, {"is_causal": False}])
def test_without_a_mask_attention_is_causal_unless_it_is_said_otherwise(how: dict[str, Any], heads: int) -> None:
    same_as_torch(None, heads=heads, **how)


def same_as_torch(mask: torch.Tensor | None, *, heads: int = 4, **how: Any) -> None:
    ours = grown(attention, torch.bfloat16, mask, heads=heads, **how)
    theirs = grown(sdpa_attention_forward, torch.float32, mask, heads=heads, **how)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.06)


@pytest.mark.parametrize(
    ("width", "dropout", "own"), [(512, 0.0, True), (520, 0.0, False), (520, 0.1, True), (520, 0.9, False)]
)
def test_wide_rows_go_the_usual_way_where_torch_has_a_blocked_kernel(
    monkeypatch: pytest.MonkeyPatch, width: int, dropout: float, own: bool
) -> None:
    usual: list[int] = []

    def note(_: Any, query: torch.Tensor, *__: Any, **___: Any) -> tuple[torch.Tensor, None]:
        usual.append(query.shape[2])
        return query, None

    monkeypatch.setattr(attention_module, "sdpa_attention_forward", note)
    query = torch.randn(1, 2, width, 8, dtype=torch.bfloat16)
    attention(torch.nn.Module(), query, query, query, None, dropout=dropout)
    assert bool(usual) != own


def test_float32_goes_the_usual_way(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.dtype] = []

    def usual(_: Any, query: torch.Tensor, *__: Any, **___: Any) -> tuple[torch.Tensor, None]:
        seen.append(query.dtype)
        return query, None

    monkeypatch.setattr(attention_module, "sdpa_attention_forward", usual)
    query = torch.randn(1, 2, 4, 8, requires_grad=True)
    attention(torch.nn.Module(), query, query, query, torch.ones(1, 1, 4, 4, dtype=torch.bool))
    assert seen == [torch.float32]
