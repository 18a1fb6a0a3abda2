"""Whether two functions give the same: asked of a module before a faster one takes its place."""

from __future__ import annotations

from collections.abc import Callable

import torch

_ROWS = 16
_ROUNDINGS = 4
"""Most that the results may differ, in units of the number format's own precision."""


def alike(
    first: Callable[[torch.Tensor], torch.Tensor],
    second: Callable[[torch.Tensor], torch.Tensor],
    *,
    width: int,
    dtype: torch.dtype,
) -> bool:
    """Compare on random rows of small, usual and large numbers; leaves torch's generator untouched.

    Args:
        first: [rows, width] → [rows, width].
        second: Same.
        width: Of a row.
        dtype: Of the rows.
    """
    chance = torch.Generator().manual_seed(0)
    sizes = torch.logspace(-3, 3, _ROWS)[:, None]
    x = (torch.randn(_ROWS, width, generator=chance) * sizes).to(dtype)
    with torch.no_grad():
        one, other = first(x), second(x)
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    precision = torch.finfo(dtype).eps * _ROUNDINGS
    return torch.allclose(one.float(), other.float(), rtol=precision, atol=precision * float(one.float().abs().mean()))
