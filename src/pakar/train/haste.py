"""Layers that compute the same with fewer passes over memory, where a processor's time goes into those: LoRA and short attention.

Nothing here changes what is learnt or saved: PEFT's modules keep their weights and names, and rounding aside every function
gives what it replaces.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import numpy as np
import torch
from peft.tuners.lora import LoraLayer
from torch.nn import functional
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

SHORT = 512
"""Widest row whose attention is faster as two plain products: measured on an AMD EPYC in bfloat16, forward and backward together,
1.4 to 2.3 times as fast as torch's blocked kernel, whose backward pass computes in float32."""
_SIXTEEN_BITS = 2**16
_UNUSUAL = {"softcap", "position_bias", "s_aux"}
"""What some architectures add to attention."""


def hasten(model: torch.nn.Module, device: torch.device) -> None:
    """Let plain LoRA layers, and on a CPU attention too, take the short way; everything else stays as it is.

    Attention is changed for the whole process, since transformers looks it up by name; what evaluates in float32 does not notice.
    """
    for module in model.modules():
        if isinstance(module, LoraLayer) and _is_plain(module):
            module.forward = MethodType(_lora, module)
    if device.type == "cpu":
        ALL_ATTENTION_FUNCTIONS["sdpa"] = attention


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **how: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention, as transformers calls it.

    Args:
        module: The attention layer.
        query: [R, heads, T, D].
        key: [R, key heads, T, D].
        value: [R, key heads, T, D].
        attention_mask: [R, 1, T, T], True where a position sees another; None: as `how` says.
        how: See transformers' `sdpa_attention_forward`, which does what cannot be done here.

    Returns:
        [R, T, heads, D].
    """
    autocast = torch.is_autocast_enabled(query.device.type)
    form = torch.get_autocast_dtype(query.device.type) if autocast else query.dtype
    short = query.shape[2] == key.shape[2] <= SHORT and form == torch.bfloat16
    if not short or _UNUSUAL & set(how) or attention_mask is None or attention_mask.dtype != torch.bool:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **how)
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups).to(form), repeat_kv(value, groups).to(form)
    scores = (query * (how.get("scaling") or query.shape[-1] ** -0.5)).to(form) @ key.transpose(-1, -2)
    # Not minus infinity: padding sees nothing, and nothing must become no number.
    scores = scores.masked_fill_(~attention_mask, torch.finfo(form).min)
    with torch.autocast(query.device.type, enabled=False):  # autocast would give out what softmax has in float32 inside
        weights, kept = _drop(torch.softmax(scores, -1), how.get("dropout") or 0.0)
        return (weights @ (value / kept)).transpose(1, 2).contiguous(), None


def _is_plain(layer: Any) -> bool:
    """Whether it is a linear layer with one adapter that only adds: no DoRA, no bias of its own, nothing merged."""
    names = list(layer.active_adapters)
    if len(names) != 1 or names[0] not in layer.lora_A or layer.merged or layer.disable_adapters:
        return False
    weight = getattr(layer.base_layer, "weight", None)
    is_linear = isinstance(weight, torch.Tensor) and weight.ndim == 2
    return is_linear and not layer.lora_variant and layer.lora_B[names[0]].bias is None


def _lora(self: Any, x: torch.Tensor, *more: Any, **how: Any) -> torch.Tensor:
    """W x + s B A dropout(x) (Hu et al. 2021, equation 3), the sum and the last product in one pass.

    Without autocast nobody brings a base in 16 bits and an adapter in 32 together but PEFT's own layer.
    """
    (name,) = self.active_adapters
    if x.dtype != self.lora_A[name].weight.dtype and not torch.is_autocast_enabled(x.device.type):
        peft_forward = type(self).forward
        return peft_forward(self, x, *more, **how)  # type: ignore[no-any-return]
    result = self.base_layer(x)
    kept, share = _dropped(x, self.lora_dropout[name])
    low = functional.linear(kept, self.lora_A[name].weight) * (self.scaling[name] / share)
    added = torch.addmm(result.flatten(0, -2), low.flatten(0, -2), self.lora_B[name].weight.t())
    return added.view_as(result)


def _dropped(x: torch.Tensor, dropout: torch.nn.Module) -> tuple[torch.Tensor, float]:
    """What `dropout` leaves of `x`, and the share that is kept, by which it is yet to be divided."""
    share = float(getattr(dropout, "p", 0.0)) if dropout.training else 0.0
    return _drop(x, share) if x.device.type == "cpu" else (dropout(x), 1.0)


def _drop(x: torch.Tensor, share: float) -> tuple[torch.Tensor, float]:
    """`x` with a share of its numbers set to zero at random, and the share that is kept."""
    if not share:
        return x, 1.0
    limit = round(share * _SIXTEEN_BITS)
    return x.masked_fill(_random_bits(x) < limit - _SIXTEEN_BITS // 2, 0.0), 1.0 - limit / _SIXTEEN_BITS


@torch.library.custom_op("pakar::random_bits", mutates_args=())
def _random_bits(like: torch.Tensor) -> torch.Tensor:
    """Random numbers of 16 bits in the shape of a tensor on a CPU.

    torch's generator draws for each number there, and one by one. Here it draws the seed of a fast one (SFC64), every draw of
    which is good for four numbers; so torch's state is all that a resumed training needs.
    """
    fast = np.random.SFC64(int(torch.randint(2**63 - 1, ())))
    return torch.from_numpy(fast.random_raw(-(-like.numel() // 4)).view(np.int16))[: like.numel()].reshape(like.shape)


@_random_bits.register_fake
def _(like: torch.Tensor) -> torch.Tensor:
    return like.new_empty(like.shape, dtype=torch.int16)
