"""How much memory a pass takes, and how large passes may be."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable

import torch

from pakar import machine
from pakar.train.launch import team

CPU_PASS_TOKENS = 4096
"""Largest pass on a CPU: more brings no speed there, only memory."""
GPU_PASS_TOKENS = 65536
"""Largest pass that is tried on a GPU: more brings no speed."""
_SHARE_OF_FREE = 0.5
"""How much of the free memory activations may take on a CPU, which has no error to catch when memory ends."""


def peak_bytes(device: torch.device) -> int:
    """Most memory used so far: of the allocator on a GPU, of the process on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most if sys.platform == "darwin" else most * 1024)


def saved_bytes(forward: Callable[[], object]) -> int:
    """Bytes that `forward` keeps for its backward pass, weights not counted."""
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # itself, it would hold the operation that holds it, and nobody would ever free them

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())


def halved_until(fits: Callable[[int], bool], most: int, least: int) -> int | None:
    """The first of `most`, its half, its quarter … down to `least` that fits; None if not even `least` does."""
    tokens = max(most, least)
    while not fits(tokens):
        if tokens == least:
            return None
        tokens = max(least, tokens // 2)
    return tokens


def fits_beside(bytes_of_pass: int) -> bool:
    """Whether activations of that size, in each process of a team on this computer, leave enough of its free memory."""
    return bytes_of_pass <= _SHARE_OF_FREE * machine.free_memory() / team.on_this_machine()
