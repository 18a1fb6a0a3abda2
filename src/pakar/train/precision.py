"""The number format of the matrix products: what the hardware has in silicon and trains safely with."""

from __future__ import annotations

from typing import Literal

import torch

from pakar import recipe
from pakar.errors import RecipeError

Format = Literal["float32", "bfloat16", "float16"]
_SILICON = ("amx_bf16", "avx512_bf16")
"""CPU instructions that multiply bfloat16. Without them it is emulated, several times slower than float32."""
_AMPERE = (8, 0)
"""First CUDA capability with bfloat16. Older GPUs emulate it, and `torch.cuda.is_bf16_supported` counts that as support."""


def chosen(section: recipe.Train) -> Format:
    """The format of `compute.precision` on this machine.

    Raises:
        RecipeError: the recipe asks for a format that this hardware cannot train with.
    """
    return settled(section.compute.precision, gpu=torch.cuda.is_available(), bfloat16=has_bfloat16())


def settled(wanted: recipe.train.Precision, *, gpu: bool, bfloat16: bool) -> Format:
    """The format that is wanted on some hardware; `auto` is settled by that.

    bfloat16 reaches as far as float32 and needs no loss scaling, so it comes first; GPUs before Ampere get float16 with loss
    scaling. Trained weights and the optimizer's moments are float32 with every format.

    Args:
        wanted: As the recipe says.
        gpu: Whether it is a GPU.
        bfloat16: Whether it multiplies bfloat16 in silicon.

    Raises:
        RecipeError: that hardware cannot train with the format.
    """
    fitting: Format = "bfloat16" if bfloat16 else "float16" if gpu else "float32"
    if wanted == "auto":
        return fitting
    if wanted == "bfloat16" and gpu and not bfloat16:
        raise _refusal(wanted, "this GPU is older than Ampere and only emulates bfloat16, many times slower", fitting)
    if wanted == "float16" and not gpu:
        raise _refusal(wanted, "float16 needs loss scaling, which is there on GPUs only", fitting)
    return wanted


def has_bfloat16() -> bool:
    """Whether this machine multiplies bfloat16 in silicon: its GPU if there is one, else its processor."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_capability() >= _AMPERE
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in _SILICON)


def precision(section: recipe.Train) -> str:
    """The chosen format as Accelerate calls it."""
    return {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}[chosen(section)]


def compute_dtype(section: recipe.Train) -> torch.dtype:
    """The chosen format as torch's type: what frozen base weights may be loaded in."""
    dtype = getattr(torch, chosen(section))
    assert isinstance(dtype, torch.dtype)  # noqa: S101 - narrows a type for the checker
    return dtype


def _refusal(wanted: str, why: str, instead: str) -> RecipeError:
    return RecipeError(f"train.compute.precision: {wanted} cannot be used here: {why}",
                       next_step=f"write `precision: auto`, which takes {instead}.")  # fmt: skip
