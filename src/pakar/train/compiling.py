"""torch.compile where the training is long enough to win its time back."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from typing import TYPE_CHECKING

import torch

from pakar.errors import RecipeError
from pakar.train.losses import causal, decoder

if TYPE_CHECKING:
    from pakar.train.training import Training

PAYS_FROM = {"cpu": 2e14, "cuda": 5e17}
"""Floating-point operations of a whole training from which compiling wins back the minute that it takes."""

_CACHE = "TORCHINDUCTOR_CACHE_DIR"


def wanted(training: Training) -> bool:
    """What `compute.compile` asks for; `auto` reckons from the training's arithmetic, never from a clock.

    A training step costs about six operations per weight and token, four where the weights stay as they are (Kaplan et al. 2020,
    section 2.1).

    Raises:
        RecipeError: the recipe asks for it, and there is no compiler on this machine.
    """
    asked, device = training.section.compute.compile, training.accelerator.device.type
    if asked == "auto":
        return possible(device) and operations(training) >= PAYS_FROM[device]
    if asked and not possible(device):
        raise RecipeError("train.compute.compile: true needs a C++ compiler, and neither g++ nor clang++ was found",
                          next_step="install one, or write `compile: auto`.")  # fmt: skip
    return asked


def possible(device: str) -> bool:
    """Whether this machine can compile: on a CPU that takes a C++ compiler; torch brings what a GPU needs."""
    return device == "cuda" or any(map(shutil.which, ("g++", "clang++")))


def operations(training: Training) -> float:
    """Floating-point operations of the whole training, about."""
    weights = list(training.model.parameters())
    total = sum(weight.numel() for weight in weights)
    trained = sum(weight.numel() for weight in weights if weight.requires_grad)
    tokens = training.section.epochs * float(training.plan.lengths.sum())
    return (4.0 * total + 2.0 * trained) * tokens


def compile_layers(model: torch.nn.Module) -> None:
    """Compile each layer of the decoder in place: all of one kind share one code, for passes of any shape."""
    _own_cache()
    for layer in _layers(decoder(causal(model))):
        layer.compile(dynamic=True)


def _own_cache() -> None:
    """Keep compiled code in a directory of this process, unless the user names one.

    torch's common one is not written atomically: a killed process may leave half a library there, which fails all later ones.
    """
    if _CACHE not in os.environ:
        os.environ[_CACHE] = tempfile.mkdtemp(prefix="pakar-compiled-")
        atexit.register(shutil.rmtree, os.environ[_CACHE], ignore_errors=True)


def _layers(body: torch.nn.Module) -> torch.nn.ModuleList:
    """The list of modules that holds most weights."""
    lists = [module for module in body.children() if isinstance(module, torch.nn.ModuleList)]
    return max(
        lists, key=lambda found: sum(weight.numel() for weight in found.parameters()), default=torch.nn.ModuleList()
    )
