"""While training, torch computes the same bits again wherever it can."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils import deterministic

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
"""NVIDIA's matrix products are the same again only with buffers of fixed sizes, which are made when the first one is computed."""


@contextmanager
def repeatable() -> Iterator[None]:
    """Take deterministic kernels where there are any, and warn (`-v`) of the others; afterwards all is as it was."""
    before = torch.get_deterministic_debug_mode()
    filled = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    os.environ.setdefault(CUBLAS, ":4096:8")
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # slow, for memory that is written anyway
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
        deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
