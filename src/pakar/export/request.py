"""What is to be exported and where to, checked before anything is computed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from transformers import AutoModelForCausalLM

from pakar import machine
from pakar.errors import ResourceError, UsageError, UserError
from pakar.export import gguf
from pakar.models import configuration, origin
from pakar.models.base import BaseModel
from pakar.models.merge import Storage
from pakar.run import Run

Format = Literal["adapter", "merged", "gguf"]
FORMATS: tuple[Format, ...] = get_args(Format)
STORAGES: tuple[Storage, ...] = get_args(Storage)

BESIDE_WEIGHTS = 64 * 2**20
"""Bytes kept free for tokenizer, card and the like."""
MERGING = 4.0
"""Bytes a weight: the merged model is one in float32."""
FOUR_BITS = 0.6
"""Bytes a weight of a model in 4 bits with its scales, which is there beside the merged one."""
_SMALL = 2**28
"""Bytes of a base model that is merged in float32 unasked: it then says word for word what the adapter says, for half a GiB at most more."""


class Request(NamedTuple):
    """What is to be exported.

    Attributes:
        format: `adapter` (PEFT), `merged` (safetensors) or `gguf`.
        storage: Number format of the stored matrices; None: the base model's own, or float32 for small merged ones.
        to: Directory to write; None: `export/<format>` in the run directory, which is written anew every time.
    """

    format: Format = "merged"
    storage: Storage | None = None
    to: Path | None = None


def checked(kind: str, to: Path | None) -> Request:
    """A request from the words of the command line: `adapter`, `merged[:DTYPE]` or `gguf[:DTYPE]`.

    Raises:
        UsageError: one of them is unknown, or they do not go together.
    """
    name, _, digits = kind.partition(":")
    known = next((one for one in FORMATS if one == name), None)
    if known is None:
        raise UsageError(
            f"--as {kind}: expected adapter, merged or gguf, the last two also with a number format (gguf:q8_0)"
        )
    stored = next((one for one in STORAGES if one == digits), None)
    if known == "adapter" and ":" in kind:
        raise UsageError(f"--as {kind}: the adapter is handed on as it was trained, in no other number format",
                         next_step="write `--as adapter`.")  # fmt: skip
    if stored is None and ":" in kind:
        raise UsageError(
            f"--as {kind}: {digits or 'nothing'} is no number format; expected one of {', '.join(STORAGES)}"
        )
    if stored == "q8_0" and known != "gguf":
        raise UsageError(f"--as {kind}: q8_0 is a number format of GGUF files",
                         next_step="write `--as gguf:q8_0`, or leave the number format out.")  # fmt: skip
    return Request(known, stored, to)


def target(request: Request, run: Run) -> Path:
    """The directory to write, with links followed.

    Raises:
        UsageError: the user's own directory holds something already, or cannot be one.
    """
    if request.to is None:
        return run.export_dir(request.format)
    try:
        place = request.to.expanduser().resolve()
        there = sorted(path.name for path in place.iterdir()) if place.is_dir() else []
        is_other = not place.is_dir() and place.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(f"--to {str(request.to)[:80]} cannot be used: {getattr(error, 'strerror', None) or error}",
                         next_step="name another directory.") from None  # fmt: skip
    if is_other:
        raise UsageError(f"--to {request.to} is a file; expected a directory that does not exist yet, or is empty")
    if there:
        raise UsageError(f"--to {request.to} is not empty (it holds {', '.join(there[:5])}), and nothing in it is overwritten",
                         next_step="name another directory, or empty this one.")  # fmt: skip
    return place


def storage_of(request: Request, base: BaseModel) -> Storage:
    """The number format to store: the one asked for, else the base model's; float32 for merged models that stay small."""
    if request.storage is not None:
        return request.storage
    if (
        request.format == "merged"
        and sum(file.stat().st_size for file in base.directory.glob("*.safetensors")) <= _SMALL
    ):
        return "float32"
    config = configuration.read(base.directory)
    own = str(getattr(config, "dtype", None) or torch.float32).removeprefix("torch.")
    return next((name for name in STORAGES if name == own), "float32")


def check_model(run: Run, request: Request, base: BaseModel, directory: Path) -> None:
    """Refuse what this model cannot be written as, and what does not fit on the disk or into memory.

    Raises:
        UserError: there is no adapter, or llama.cpp does not know the architecture.
        ResourceError: disk or memory has too little room.
    """
    if request.format == "adapter":
        if not (run.model_dir / "adapter_config.json").exists():
            raise UserError(f"all weights were trained in {run.directory}, so there is no adapter to export",
                            next_step="export with --as merged, or --as gguf.")  # fmt: skip
        _check_disk(sum(path.stat().st_size for path in run.model_dir.glob("*.safetensors")), directory)
        return
    config = configuration.read(base.directory)
    if request.format == "gguf":
        gguf.check(config)
    with torch.device("meta"):
        skeleton: Any = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    _check_disk(_stored_bytes(request, storage_of(request, base), skeleton), directory)
    _check_memory(
        skeleton.num_parameters(), quantised=origin.read(run.model_dir).get("method", {}).get("kind") == "qlora"
    )


def _check_disk(needed: int, directory: Path) -> None:
    free = shutil.disk_usage(_existing(directory)).free
    if free < needed + BESIDE_WEIGHTS:
        raise ResourceError(f"the export needs {(needed + BESIDE_WEIGHTS) / 2**20:,.0f} MiB in {directory}, but only {free / 2**20:,.0f} MiB are free",
                            next_step="free some space, name another disk with --to, or store fewer digits (--as merged:bfloat16, --as gguf:q8_0).")  # fmt: skip


def _check_memory(weights: int, *, quantised: bool) -> None:
    needed, free = weights * (MERGING + quantised * FOUR_BITS), machine.free_memory()
    if free < needed:
        raise ResourceError(f"merging needs {needed / 2**30:,.1f} GiB of memory (float32, 4 bytes for each of {weights:,} weights{', and the model in 4 bits' * quantised}), but only {free / 2**30:,.1f} GiB are free",
                            next_step="close other programs, use a machine with more memory, or export the adapter alone: --as adapter.")  # fmt: skip


def _stored_bytes(request: Request, storage: Storage, skeleton: Any) -> int:
    if request.format == "gguf":
        return gguf.size(skeleton, storage)
    return int(skeleton.num_parameters()) * torch.finfo(getattr(torch, storage)).bits // 8


def _existing(path: Path) -> Path:
    return next(parent for parent in [path.absolute(), *path.absolute().parents] if parent.exists())
