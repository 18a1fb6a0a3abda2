"""Weights kept in 8 bits on the disk: half of what 16 bits take. They unfold when they are loaded; nothing computes in 8 bits.

Every row of a matrix (an output channel, or a token of the embeddings) has a scale of its own: its largest number stands for
127, and each number is rounded to the nearest of 255 steps (symmetric absmax quantisation per channel, as in Dettmers et al.
2022, LLM.int8(), section 2). Vectors stay in float32.

The file has a name of its own, so that a loader that does not know it finds no weights rather than wrong ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file, save_file

from pakar import files
from pakar.models.intake.layout import EIGHT_BITS, WEIGHTS, has_weights, read_files
from pakar.models.intake.weights import METADATA, SCALE

STEPS = 127


def fold(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Matrices as int8 beside the scales of their rows, everything else as float32.

    Args:
        weights: Name → tensor.

    Returns:
        Name → tensor; for every matrix also its name with `.scale` → [rows].
    """
    folded: dict[str, torch.Tensor] = {}
    for name, weight in weights.items():
        whole = weight.detach().float().cpu()
        if whole.ndim != 2:
            folded[name] = whole.contiguous()
            continue
        scale = whole.abs().amax(dim=1) / STEPS
        divisor = torch.where(scale > 0, scale, torch.ones_like(scale))
        folded[name] = torch.round(whole / divisor[:, None]).to(torch.int8)
        folded[name + SCALE] = scale
    return folded


def unfold(folded: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors that `fold` was given, in float32, each number within half a step of what it was."""
    return {
        name: tensor.float() * folded[name + SCALE][:, None] if tensor.dtype == torch.int8 else tensor
        for name, tensor in folded.items()
        if not name.endswith(SCALE)
    }


def write(directory: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Write the weights of a model into its directory, atomically.

    Args:
        directory: Where its configuration and tokenizer are or will be.
        weights: Name → tensor; tied ones once.
    """
    with files.replacing(directory / EIGHT_BITS) as temporary:
        save_file(fold(weights), temporary, metadata=dict(METADATA))


@contextmanager
def unfolded(directory: Path) -> Iterator[Path]:
    """A directory that loaders understand: the same one, or a temporary one with the weights unfolded.

    Args:
        directory: Of a model that was looked at, see `intake`.
    """
    if has_weights(directory, plain=True) or not (directory / EIGHT_BITS).exists():
        yield directory
        return
    with TemporaryDirectory() as place:
        for path in read_files(directory):
            if path.name != EIGHT_BITS and path.parent == directory:
                copyfile(path, Path(place) / path.name)
        save_file(unfold(load_file(directory / EIGHT_BITS)), Path(place) / WEIGHTS, metadata={"format": "pt"})
        yield Path(place)
