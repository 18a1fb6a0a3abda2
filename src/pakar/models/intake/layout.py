"""Which files of a model directory are ever read, and whether they are what they seem.

Only names on a list are read. What else lies beside them (a pickled or TensorFlow twin of the weights, an ONNX folder,
scripts, pictures) is never opened, so it is no reason to refuse a model. It would be opened only where the
safetensors that a loader looks for first are missing; then the directory is refused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from pakar.models.intake import finding
from pakar.models.intake.finding import Finding

MIB = 2**20
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
EIGHT_BITS = "model-8bit.safetensors"
"""Weights as Pakar keeps them in 8 bits, see `pakar.models.eight_bits`."""
ADAPTER = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
TEMPLATES = "additional_chat_templates"
LARGEST_TEMPLATE = MIB // 4
LARGEST_TOKENIZER = 64 * MIB
"""Bytes; the largest known, those of Gemma 3, take 33 MiB."""

LIMITS = {
    "config.json": 4 * MIB,
    "generation_config.json": MIB,
    ADAPTER: MIB,
    INDEX: 16 * MIB,
    "tokenizer_config.json": 16 * MIB,
    "special_tokens_map.json": 16 * MIB,
    "added_tokens.json": 16 * MIB,
    "tokenizer.json": LARGEST_TOKENIZER,
    "tokenizer.*.json": LARGEST_TOKENIZER,  # for certain versions of transformers
    "vocab.json": 256 * MIB,
    "vocab.txt": 256 * MIB,
    "merges.txt": 256 * MIB,
    "tekken.json": 256 * MIB,
    "*.tiktoken": 256 * MIB,
    "tokenizer.model*": 256 * MIB,
    "spiece.model": 256 * MIB,
    "sentencepiece.bpe.model": 256 * MIB,
    "spm.model": 256 * MIB,
    "chat_template.jinja": LARGEST_TEMPLATE,
}
"""Pattern of a file name → most bytes. Weights have no limit but the header's."""

BESIDE = {"README.md": 4 * MIB, "pakar.json": MIB}
"""The same for what Pakar alone reads: the base's licence, and what an exported model was trained from."""

_SHARDS = ("model-*-of-*.safetensors", "model_*-of-*.safetensors")


def fetched() -> list[str]:
    """Patterns of what is fetched from a hub: what is read, and nothing else."""
    return [*LIMITS, "README.md", WEIGHTS, EIGHT_BITS, *_SHARDS, f"{TEMPLATES}/*.jinja"]


def has_weights(directory: Path, *, adapter: bool = False, plain: bool = False) -> bool:
    """Whether the safetensors are there that a loader takes before anything else.

    Args:
        directory: Of a model.
        adapter: It is an adapter's.
        plain: Only those that any loader understands, not Pakar's own in 8 bits.
    """
    names = (ADAPTER_WEIGHTS,) if adapter else (WEIGHTS, INDEX) if plain else (WEIGHTS, INDEX, EIGHT_BITS)
    return any((directory / name).exists() for name in names)


def is_whole(directory: Path) -> bool:
    """Whether the weights are all there: one file, or an index and every shard that it names."""
    if (directory / WEIGHTS).exists():
        return True
    places = (finding.read(directory / INDEX, LIMITS[INDEX])[0] or {}).get("weight_map")
    named = {name for name in places.values() if isinstance(name, str)} if isinstance(places, dict) else set()
    return bool(named) and all((directory / Path(name).name).exists() for name in named)


def read_files(directory: Path) -> list[Path]:
    """The files of a directory that loaders may read, in order of their names: what makes a model what it is."""
    there = [path for path in directory.iterdir() if _limit(path.name)]
    return sorted([*there, *(directory / TEMPLATES).glob("*.jinja")])


def opened_files(directory: Path) -> list[Path]:
    """The same, and those that Pakar alone reads."""
    beside = [directory / name for name in BESIDE if os.path.lexists(directory / name)]
    return [*read_files(directory), *beside]


def findings(directory: Path, *, adapter: bool) -> Iterator[Finding]:
    """Missing weights, and files that are too large, no plain files, or lie outside."""
    if not has_weights(directory, adapter=adapter):
        expected = ADAPTER_WEIGHTS if adapter else f"{WEIGHTS}, or {INDEX} with its shards"
        yield Finding(".", "", _beside(directory), f"weights as {expected}: other formats can run code when read")
    if not adapter and (directory / ADAPTER).exists():
        yield Finding(ADAPTER, "", "an adapter", "a model without one: a loader would put it on unasked")
    yield from misplaced(directory)


def misplaced(directory: Path) -> Iterator[Finding]:
    """Files that are too large, no plain files, or lie outside."""
    for path in opened_files(directory):
        yield from _file(path, directory)


def _file(path: Path, directory: Path) -> Iterator[Finding]:
    name = path.relative_to(directory).as_posix()
    try:
        inside, status = _inside(path.resolve(strict=True), directory), path.stat()
    except (OSError, RuntimeError) as error:
        yield Finding(name, "", f"unreadable ({type(error).__name__})", "a file")
        return
    if not inside:
        yield Finding(name, "", f"a link to {path.resolve()}", "a file inside the directory")
    elif not stat.S_ISREG(status.st_mode):
        yield Finding(name, "", "a folder, pipe or device", "a file")
    elif status.st_size > _largest(path):
        yield Finding(name, "", f"{status.st_size:,} bytes", f"at most {_largest(path):,} bytes")


def _inside(target: Path, directory: Path) -> bool:
    """Below the directory, or among the blobs of the hub's cache that the directory is a snapshot of."""
    if target.is_relative_to(directory.resolve()):
        return True
    is_snapshot = directory.parent.name == "snapshots" and directory.parent.parent.name.startswith("models--")
    return is_snapshot and target.parent == (directory.parent.parent / "blobs").resolve()


def _limit(name: str) -> int:
    if name.endswith(".safetensors"):
        return 2**63
    return next((limit for pattern, limit in LIMITS.items() if fnmatchcase(name, pattern)), 0)


def _largest(path: Path) -> int:
    return _limit(path.name) or BESIDE.get(path.name, LARGEST_TEMPLATE)


def _beside(directory: Path) -> str:
    return ", ".join(sorted(path.name for path in directory.iterdir())[:12]) or "nothing"
