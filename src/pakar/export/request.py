"""What is to be exported and where to, checked before anything is computed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from transformers import AutoModelForCausalLM

from pakar.errors import ResourceError, UserError
from pakar.export import gguf
from pakar.models.base import BaseModel, configuration
from pakar.models.merge import Storage
from pakar.run import Run

Format = Literal["adapter", "merged", "gguf"]
FORMATS: tuple[Format, ...] = get_args(Format)
STORAGES: tuple[Storage, ...] = get_args(Storage)

BESIDE_WEIGHTS = 64 * 2**20
"""Bytes kept free for tokenizer, card and the like."""


class UsageError(UserError):
    """The command line asks for something that cannot be."""

    exit_code = 2


class Request(NamedTuple):
    """What is to be exported.

    Attributes:
        format: `adapter` (PEFT), `merged` (safetensors) or `gguf`.
        storage: Number format of the stored matrices; None: the base model's own.
        to: Directory to write; None: `export/<format>` in the run directory, which is written anew every time.
    """

    format: Format = "merged"
    storage: Storage | None = None
    to: Path | None = None


def checked(format_name: str, storage: str, to: Path | None) -> Request:
    """A request from words of the command line.

    Raises:
        UsageError: one of them is unknown, or they do not go together.
    """
    known = next((name for name in FORMATS if name == format_name), None)
    if known is None:
        raise UsageError(f"--format {format_name}: expected one of {', '.join(FORMATS)}")
    stored = next((name for name in STORAGES if name == storage), None)
    if stored is None and storage != "auto":
        raise UsageError(f"--dtype {storage}: expected auto or one of {', '.join(STORAGES)}")
    if stored == "q8_0" and known != "gguf":
        raise UsageError(f"--dtype q8_0 is a format of GGUF files; it does not go with --format {known}",
                         next_step="add --format gguf, or leave --dtype out.")  # fmt: skip
    if stored is not None and known == "adapter":
        raise UsageError("--dtype does not go with --format adapter: the adapter is handed on as it was trained",
                         next_step="leave --dtype out.")  # fmt: skip
    return Request(known, stored, to)


def target(request: Request, run: Run) -> Path:
    """The directory to write.

    Raises:
        UserError: the user's own directory holds something already.
    """
    if request.to is None:
        return run.export_dir(request.format)
    if request.to.is_file():
        raise UserError(f"--to {request.to} is a file; expected a directory that does not exist yet, or is empty")
    if request.to.is_dir() and any(request.to.iterdir()):
        there = ", ".join(sorted(p.name for p in request.to.iterdir())[:5])
        raise UserError(f"--to {request.to} is not empty (it holds {there}), and nothing in it is overwritten",
                        next_step="name another directory, or empty this one.")  # fmt: skip
    return request.to


def storage_of(request: Request, base: BaseModel) -> Storage:
    """The number format to store: the one asked for, else the base model's."""
    if request.storage is not None:
        return request.storage
    config = configuration(base.directory)
    own = str(getattr(config, "dtype", None) or torch.float32).removeprefix("torch.")
    return next((name for name in STORAGES if name == own), "float32")


def check_model(run: Run, request: Request, base: BaseModel, directory: Path) -> None:
    """Refuse what this model cannot be written as, and what does not fit on the disk.

    Raises:
        UserError: there is no adapter, or llama.cpp does not know the architecture.
        ResourceError: the disk has too little room.
    """
    is_adapter = (run.model_dir / "adapter_config.json").exists()
    if request.format == "adapter":
        if not is_adapter:
            raise UserError(f"all weights were trained in {run.directory}, so there is no adapter to export",
                            next_step="export with --format merged, or --format gguf.")  # fmt: skip
        needed = sum(path.stat().st_size for path in run.model_dir.glob("*.safetensors"))
    else:
        needed = _weight_bytes(request, base)
    free = shutil.disk_usage(_existing(directory)).free
    if free < needed + BESIDE_WEIGHTS:
        raise ResourceError(f"the export needs {(needed + BESIDE_WEIGHTS) / 2**20:,.0f} MiB in {directory}, but only {free / 2**20:,.0f} MiB are free",
                            next_step="free some space, name another disk with --to, or store fewer digits with --dtype.")  # fmt: skip


def _weight_bytes(request: Request, base: BaseModel) -> int:
    storage = storage_of(request, base)
    config = configuration(base.directory)
    with torch.device("meta"):
        skeleton: Any = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    if request.format == "gguf":
        gguf.check(config)
        return gguf.size(skeleton, storage)
    weights = sum(int(weight.numel()) for weight in skeleton.parameters())
    return weights * torch.finfo(getattr(torch, storage)).bits // 8


def _existing(path: Path) -> Path:
    return next(parent for parent in [path.absolute(), *path.absolute().parents] if parent.exists())
