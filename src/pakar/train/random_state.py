"""The random generators that training may draw from, as JSON: nothing that is read back can run code."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

RandomState = dict[str, Any]
"""Of one process: `python`, `numpy`, `torch`, and `cuda` with one entry per device."""


def capture() -> RandomState:
    """Where all generators of this process stand."""
    _, keys, position, has_gauss, cached = np.random.get_state()
    version, internal, gauss = random.getstate()
    return {
        "python": [version, list(internal), gauss],
        "numpy": [np.asarray(keys).tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state().tolist(),
        "cuda": [state.tolist() for state in torch.cuda.get_rng_state_all()] if torch.cuda.is_available() else [],
    }


def restore(saved: RandomState) -> None:
    """Put all generators of this process back; devices that are not here any more are left out."""
    version, internal, gauss = saved["python"]
    random.setstate((version, tuple(internal), gauss))
    keys, position, has_gauss, cached = saved["numpy"]
    np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(torch.tensor(saved["torch"], dtype=torch.uint8))
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for device, state in enumerate(saved["cuda"][:devices]):
        torch.cuda.set_rng_state(torch.tensor(state, dtype=torch.uint8), device)
