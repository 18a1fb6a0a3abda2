from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from pakar import recipe
from pakar.train import haste
from pakar.train.adapter import make_trainable
from tests import tiny

CPU = torch.device("cpu")
IDS = torch.randint(6, 300, (2, 12), generator=torch.Generator().manual_seed(0))


def adapted(**method: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    model: torch.nn.Module = make_trainable(tiny.model(), recipe.Lora(rank=4, **method))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    return model


def outcome(model: Any) -> list[torch.Tensor]:
    loss = model(input_ids=IDS, labels=IDS).loss
    loss.backward()
    return [loss.detach(), *(weight.grad for weight in model.parameters() if weight.requires_grad)]


@pytest.mark.parametrize("method", [{}, {"rank_stabilised": True}, {"bias": "lora-only"}, {"dora": True}])
def test_lora_layers_give_the_loss_and_the_gradients_that_peft_gives(method: dict[str, Any]) -> None:
    expected = outcome(adapted(dropout=0.0, **method))
    hastened = adapted(dropout=0.0, **method)
    haste.hasten(hastened, CPU)
    for one, other in zip(outcome(hastened), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_a_base_in_16_bits_without_autocast_is_left_to_peft() -> None:
    def logits(*, hastened: bool) -> torch.Tensor:
        model = adapted(dropout=0.0)
        for name, weight in model.named_parameters():
            if "lora_" not in name:
                weight.data = weight.data.bfloat16()
        if hastened:
            haste.hasten(model, CPU)
        found: torch.Tensor = model(input_ids=IDS).logits
        return found

    torch.testing.assert_close(logits(hastened=True), logits(hastened=False), rtol=0.05, atol=0.05)


def test_without_training_nothing_is_dropped() -> None:
    model = adapted(dropout=0.5).eval()
    haste.hasten(model, CPU)
    assert torch.equal(model(input_ids=IDS).logits, model(input_ids=IDS).logits)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_as_much_is_dropped_as_asked_for_and_the_mean_stays(share: float) -> None:
    torch.manual_seed(1)
    dropped, kept = haste._drop(torch.ones(1000, 999), share)
    assert kept == pytest.approx(1 - share, abs=1e-5)
    assert float(dropped.mean()) == pytest.approx(1 - share, abs=2e-3)
    assert float((dropped.mean(0) - kept).abs().max()) < 0.1


def test_what_is_dropped_follows_from_torchs_state() -> None:
    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return haste._drop(torch.ones(5, 7), 0.5)[0]

    assert torch.equal(drawn(3), drawn(3))
    assert not torch.equal(drawn(3), drawn(4))


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

    for one, other in zip(
        grown(haste.attention, torch.bfloat16), grown(sdpa_attention_forward, torch.float32), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.06)


def test_float32_goes_the_usual_way(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.dtype] = []

    def usual(_: Any, query: torch.Tensor, *__: Any, **___: Any) -> tuple[torch.Tensor, None]:
        seen.append(query.dtype)
        return query, None

    monkeypatch.setattr(haste, "sdpa_attention_forward", usual)
    query = torch.randn(1, 2, 4, 8, requires_grad=True)
    haste.attention(torch.nn.Module(), query, query, query, torch.ones(1, 1, 4, 4, dtype=torch.bool))
    assert seen == [torch.float32]
