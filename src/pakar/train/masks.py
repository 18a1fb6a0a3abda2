"""Examples in one row see nothing of each other: every attention mask is cut into blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers.masking_utils import (
    ALL_MASK_ATTENTION_FUNCTIONS,
    and_masks,
    causal_mask_function,
    packed_sequence_mask_function,
)

_KINDS = ("sdpa", "eager")
"""The ways of attention whose masks are tensors."""


@contextmanager
def apart(numbers: torch.Tensor) -> Iterator[None]:
    """While this lasts, no mask that transformers builds lets a position see one with another number.

    Models that derive this from restarting position ids get the same mask twice; BLOOM and Falcon know no such thing. Linear
    biases by position (alibi) are untouched: softmax does not feel what is added to a whole block.

    Args:
        numbers: [R, T]; which example of its row every position belongs to.
    """
    before = {kind: ALL_MASK_ATTENTION_FUNCTIONS[kind] for kind in _KINDS}
    for kind, build in before.items():
        ALL_MASK_ATTENTION_FUNCTIONS[kind] = _in_blocks(build, numbers)
    try:
        yield
    finally:
        for kind, build in before.items():
            ALL_MASK_ATTENTION_FUNCTIONS[kind] = build


def example_numbers(position_ids: torch.Tensor) -> torch.Tensor:
    """[R, T] → [R, T]: which example of its row, from 1, a position belongs to; positions begin at 0 with each."""
    return (position_ids == 0).cumsum(-1)


def _in_blocks(build: Callable[..., Any], numbers: torch.Tensor) -> Callable[..., Any]:
    same = packed_sequence_mask_function(numbers)

    def blocks(*, mask_function: Callable[..., Any] = causal_mask_function, **how: Any) -> Any:
        how["allow_is_causal_skip"] = False
        return build(mask_function=and_masks(mask_function, same), **how)

    return blocks
