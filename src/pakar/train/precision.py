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
    """The format of `compute.precision`; `auto` is settled by the hardware.

    bfloat16 reaches as far as float32 and needs no loss scaling, so it comes first; GPUs before Ampere get float16 with loss
    scaling. Trained weights and the optimizer's moments are float32 with every format.

    Raises:
        RecipeError: the recipe asks for a format that this hardware cannot train with.
    """
    wanted = section.compute.precision
    gpu = torch.cuda.get_device_capability() if torch.cuda.is_available() else None
    if wanted == "auto":
        return _of_gpu(gpu) if gpu else _of_cpu()
    if wanted == "bfloat16" and gpu and gpu < _AMPERE:
        raise _refusal(wanted, "this GPU is older than Ampere and only emulates bfloat16, many times slower", "float16")
    if wanted == "float16" and not gpu:
        raise _refusal(wanted, "float16 needs loss scaling, which is there on GPUs only", _of_cpu())
    return wanted


def precision(section: recipe.Train) -> str:
    """The chosen format as Accelerate calls it."""
    return {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}[chosen(section)]


def compute_dtype(section: recipe.Train) -> torch.dtype:
    """The chosen format as torch's type: what frozen base weights may be loaded in."""
    dtype = getattr(torch, chosen(section))
    assert isinstance(dtype, torch.dtype)  # noqa: S101 - narrows a type for the checker
    return dtype


def _of_gpu(capability: tuple[int, int]) -> Format:
    return "bfloat16" if capability >= _AMPERE else "float16"


def _of_cpu() -> Format:
    capabilities = torch.cpu.get_capabilities()
    return "bfloat16" if any(capabilities.get(name) for name in _SILICON) else "float32"


def _refusal(wanted: str, why: str, instead: str) -> RecipeError:
    return RecipeError(f"train.compute.precision: {wanted} cannot be used here: {why}",
                       next_step=f"write `precision: auto`, which takes {instead}.")  # fmt: skip
