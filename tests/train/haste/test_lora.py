from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from transformers.pytorch_utils import Conv1D

from pakar import recipe
from pakar.train import haste
from pakar.train.adapter import make_trainable
from pakar.train.settle import set_checkpointing
from tests import tiny

CPU, OTHER = "cpu", "as on another device"
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


@pytest.mark.parametrize("device", [CPU, OTHER])
@pytest.mark.parametrize("method", [{}, {"rank_stabilised": True}, {"bias": "lora-only"}, {"dora": True}])
def test_lora_layers_give_the_loss_and_the_gradients_that_peft_gives(method: dict[str, Any], device: str) -> None:
    expected = outcome(adapted(dropout=0.0, **method))
    hastened = adapted(dropout=0.0, **method)
    haste.hasten(hastened, device)
    for one, other in zip(outcome(hastened), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


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


@pytest.mark.parametrize("device", [CPU, OTHER])
def test_dropout_changes_the_loss_but_not_its_mean(device: str) -> None:
    model = adapted(dropout=0.3)
    with torch.no_grad():
        expected = adapted(dropout=0.0)(input_ids=IDS, labels=IDS).loss
        haste.hasten(model, device)
        torch.manual_seed(5)
        losses = torch.stack([model(input_ids=IDS, labels=IDS).loss for _ in range(200)])
    assert float(losses.std()) > 0
    assert float(losses.mean()) == pytest.approx(float(expected), abs=6 * float(losses.std()) / 200**0.5 + 0.05)


@pytest.mark.parametrize("device", [CPU, OTHER])
@pytest.mark.parametrize("share", [0.4, 0.6])
def test_the_gradient_of_a_dropped_input_is_that_of_the_mask_drawn(device: str, share: float) -> None:
    torch.manual_seed(0)
    layer = make_trainable(tiny.model(), recipe.Lora(rank=4, dropout=share))
    haste.hasten(layer, device)
    one = next(module for module in layer.modules() if isinstance(module, LoraLayer)).double()  # type: ignore[attr-defined]
    torch.nn.init.normal_(one.lora_B["default"].weight)
    x = torch.randn(3, one.in_features, dtype=torch.double, requires_grad=True)

    def seeded(x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(7)
        return one(x)  # type: ignore[no-any-return]

    assert torch.autograd.gradcheck(seeded, (x,))


def test_layers_of_one_input_keep_one_copy_of_it_for_all() -> None:
    model = adapted(dropout=0.1)
    haste.hasten(model, OTHER)
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)][:2]
    x = torch.randn(50, 7, layers[0].in_features or 0, requires_grad=True)
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = [layer(x) for layer in layers]
    wide = x.untyped_storage().nbytes()
    assert len(outputs) == 2
    assert sum(size >= wide for size in kept.values()) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, about its own code
@pytest.mark.parametrize("kind", ["linear with a bias", "Conv1D", "linear"])
def test_compiled_layers_have_the_gradients_of_uncompiled_ones(kind: str) -> None:
    torch.manual_seed(0)
    made: Any = Conv1D
    base = made(6, 5) if kind == "Conv1D" else torch.nn.Linear(5, 6, bias=kind != "linear")
    layer: Any = inject_adapter_in_model(
        LoraConfig(r=2, target_modules=["0"], init_lora_weights=False, fan_in_fan_out=kind == "Conv1D"),
        torch.nn.Sequential(base),
    )
    haste.hasten(layer, OTHER)
    x = torch.randn(2, 7, 5, requires_grad=True)

    def gradients(way: Any) -> list[torch.Tensor]:
        result = way(x)
        trained = [weight for weight in layer.parameters() if weight.requires_grad]
        return [result.detach(), *torch.autograd.grad((result * torch.arange(6)).sum(), [x, *trained])]

    expected = gradients(layer)
    for one, other in zip(gradients(torch.compile(layer, backend="aot_eager", dynamic=True)), expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("device", [CPU, OTHER])
def test_activations_computed_again_drop_the_same_places(device: str) -> None:
    model: Any = adapted(dropout=0.3).train()
    haste.hasten(model, device)
    found = []
    for again in (False, True):
        set_checkpointing(model, on=again)
        model.zero_grad()
        torch.manual_seed(3)
        found.append([tensor.clone() for tensor in outcome(model)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("device", [CPU, OTHER])
def test_what_is_asked_of_layers_before_a_training_draws_nothing_from_torchs_generator(device: str) -> None:
    model = adapted(dropout=0.1)
    before = torch.get_rng_state()
    haste.hasten(model, device)
    assert torch.equal(torch.get_rng_state(), before)
