"""Base models in 4 bits: matrices become NF4 while they are read from the disk (QLoRA, Dettmers et al. 2023).

Covers the linear layers of the blocks, GPT-2's `Conv1D` included. Output head, embeddings and norms stay as they are.
The one door to bitsandbytes, apart from its optimizers. Knows nothing of adapters.
"""

from __future__ import annotations

import logging
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from bitsandbytes.nn.modules import Linear4bit
    from transformers import BitsAndBytesConfig


class FourBits(NamedTuple):
    """How matrices are kept in 4 bits.

    Attributes:
        compute: Number format that they are unfolded to for every product.
        double: Keep the scales of the blocks of 64 weights in 8 bits, too.
        storage: Type of the packed tensors. Only sharded training needs a floating-point one.
    """

    compute: torch.dtype
    double: bool = True
    storage: torch.dtype = torch.uint8

    def loading(self) -> BitsAndBytesConfig:
        """What transformers' loader is to be told."""
        library()
        from pakar.models.frozen import FrozenConfig  # noqa: PLC0415 - after `library`

        return FrozenConfig(double=self.double, compute=self.compute, storage=self.storage)


def library() -> ModuleType:
    """bitsandbytes, without its advice to install a kernel downloader that a CPU with bfloat16 brings about."""
    talker = logging.getLogger("bitsandbytes.backends.cpu.ops")
    before = talker.level
    talker.setLevel(logging.ERROR)
    try:
        import bitsandbytes  # noqa: PLC0415 - slow to import, and rarely needed
        import bitsandbytes.optim  # noqa: PLC0415
    finally:
        talker.setLevel(before)
    return bitsandbytes


def layers(model: torch.nn.Module) -> dict[str, Linear4bit]:
    """Name → layer, of all that are kept in 4 bits."""
    kind = library().nn.modules.Linear4bit
    return {name: module for name, module in model.named_modules() if isinstance(module, kind)}


def stored_bytes(model: torch.nn.Module) -> tuple[int, int]:
    """(bytes, weights) of the matrices in 4 bits: packed numbers, scales of blocks and scales of scales.

    The tables of levels (64 bytes, and 1,024 more for 8-bit scales) are counted as well, once for each matrix, as they
    are stored.
    """
    taken = weights = 0
    for layer in layers(model).values():
        weight: Any = layer.weight
        state = weight.quant_state
        tensors = [weight.data, state.absmax, state.code]
        if state.nested:
            tensors += [state.offset, state.state2.absmax, state.state2.code]
        taken += sum(tensor.nelement() * tensor.element_size() for tensor in tensors)
        weights += state.shape.numel()
    return taken, weights
