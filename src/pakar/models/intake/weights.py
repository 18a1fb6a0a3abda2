"""Safetensors, looked at without the library: only headers and sizes are read, never a number of a tensor.

Format: 8 bytes (little-endian length N of the header), N bytes of JSON (name → dtype, shape, [begin, end) in what
follows), the bytes of the tensors without gaps or overlaps to the end of the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from pakar.models.intake import finding
from pakar.models.intake.finding import Finding
from pakar.models.intake.layout import ADAPTER_WEIGHTS, EIGHT_BITS, INDEX, LIMITS, WEIGHTS

LONGEST_HEADER = 16 * 2**20
"""Bytes. A tensor's entry takes about 150 of them, so files of a hundred thousand tensors have room."""

MOST_TENSORS = 100_000
"""In one file, or in an index; the largest models that are published have about as many."""

BITS = {
    "F4": 4,
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2", "F8_E5M2FNUZ", "F8_E8M0"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}
"""Number of bits of one element, by dtype."""

METADATA = {"format": "pakar-8bit", "version": "1"}
"""What stands in the header of weights in 8 bits, and nothing else."""
SCALE = ".scale"
"""Ends the name of the scales of a matrix in 8 bits."""

_MOST_DIMENSIONS = 16
_LONGEST_NAME = 512


class Tensor(NamedTuple):
    """What a header says of a tensor."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


class EntryError(ValueError):
    """A tensor's entry is not one; the message says what was expected."""


def look(directory: Path, *, adapter: bool) -> tuple[dict[str, Tensor], list[Finding]]:
    """Every tensor that a loader would read, and what is wrong with the files."""
    single = ADAPTER_WEIGHTS if adapter else WEIGHTS
    if (directory / single).exists():  # loaders take it even if there is an index
        return header(directory / single)
    if not adapter and not (directory / INDEX).exists() and (directory / EIGHT_BITS).exists():
        return _eight_bits(directory / EIGHT_BITS)
    return _sharded(directory)


def header(path: Path) -> tuple[dict[str, Tensor], list[Finding]]:
    """The tensors of one file, and what is wrong with it."""
    entries, length, wrong = _entries(path)
    if entries is None:
        return {}, wrong
    return _tensors(entries, path.name, path.stat().st_size - 8 - length)


def _entries(path: Path) -> tuple[dict[str, Any] | None, int, list[Finding]]:
    """The header of one file and its length in bytes; None if it cannot be read, and why."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(LONGEST_HEADER, size - 8):
            limit = f"2 to {max(min(LONGEST_HEADER, size - 8), 0):,} bytes"
            return None, 0, [Finding(path.name, "length of the header", length, f"{limit}: the file may be cut off")]
        entries, wrong = finding.parse(file.read(length), path.name, 8 * MOST_TENSORS)
    return entries, length, wrong


def _eight_bits(path: Path) -> tuple[dict[str, Tensor], list[Finding]]:
    """The tensors that weights in 8 bits stand for, and what is wrong with the file."""
    tensors, wrong = header(path)
    entries, _, _ = _entries(path)
    metadata = (entries or {}).get("__metadata__")
    if not wrong and metadata != METADATA:
        expected = f"{METADATA}: another version of Pakar may have written this file"
        wrong = [Finding(path.name, "__metadata__", metadata, expected)]
    if not wrong:
        wrong = [*_unpaired(tensors, path.name)]
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(SCALE)}, wrong


def _unpaired(tensors: Mapping[str, Tensor], file: str) -> Iterator[Finding]:
    """Matrices in 8 bits without scales for their rows, scales without a matrix, and other number formats."""
    for name, tensor in tensors.items():
        rows = (
            tensors[name.removesuffix(SCALE)] if name.endswith(SCALE) and name.removesuffix(SCALE) in tensors else None
        )
        if name.endswith(SCALE):
            if rows is None or (rows.dtype, tensor.dtype, tensor.shape) != ("I8", "F32", rows.shape[:1]):
                yield Finding(
                    file, name, [tensor.dtype, *tensor.shape], "a scale in F32 for every row of a matrix in I8"
                )
        elif tensor.dtype == "I8":
            if len(tensor.shape) != 2 or name + SCALE not in tensors:
                yield Finding(file, name, [tensor.dtype, *tensor.shape], f"a matrix with its scales, {name}{SCALE}")
        elif tensor.dtype != "F32":
            yield Finding(file, name, tensor.dtype, "I8 or F32")


def _tensors(entries: dict[str, Any], file: str, num_bytes: int) -> tuple[dict[str, Tensor], list[Finding]]:
    wrong: list[Finding] = []
    metadata = entries.pop("__metadata__", {})
    if not (isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())):
        wrong.append(Finding(file, "__metadata__", metadata, "texts by name"))
    tensors: dict[str, Tensor] = {}
    if len(entries) > MOST_TENSORS:
        return {}, [Finding(file, "", f"{len(entries):,} tensors", f"at most {MOST_TENSORS:,}")]
    for name, entry in entries.items():
        try:
            tensors[name] = _tensor(name, entry)
        except EntryError as error:
            wrong.append(Finding(file, name, entry, str(error)))
            if len(wrong) == finding.MOST:
                break
    if not wrong:
        wrong += _gaps(tensors, file, num_bytes)
    return tensors, wrong


def _tensor(name: str, entry: object) -> Tensor:
    """One entry of a header.

    Raises:
        EntryError: it is not one.
    """
    if not name or len(name) > _LONGEST_NAME or ".." in name or not name.isprintable() or set(name) & set("/\\"):
        raise EntryError("a tensor's name without slashes, `..` and control characters")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise EntryError("dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise EntryError(f"a dtype among {', '.join(BITS)}")
    if not _whole(shape) or len(shape) > _MOST_DIMENSIONS:
        raise EntryError("a shape of whole numbers")
    if not _whole(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise EntryError("two offsets, begin and end")
    tensor = Tensor(dtype, tuple(shape), *offsets)
    if tensor.elements * BITS[dtype] != 8 * (tensor.end - tensor.begin):
        raise EntryError(f"as many bytes as shape and dtype need: {(tensor.elements * BITS[dtype] + 7) // 8:,}")
    return tensor


def _whole(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _gaps(tensors: Mapping[str, Tensor], file: str, num_bytes: int) -> Iterator[Finding]:
    """Tensors that overlap or leave gaps, and bytes at the end that belong to none."""
    position = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != position:
            yield Finding(file, name, [tensor.begin, tensor.end], f"to begin at {position:,}, without gap or overlap")
            return
        position = tensor.end
    if position != num_bytes:
        yield Finding(file, "", f"{num_bytes:,} bytes of tensors", f"{position:,} as in the header: it may be cut off")


def _sharded(directory: Path) -> tuple[dict[str, Tensor], list[Finding]]:
    index, wrong = finding.read(directory / INDEX, LIMITS[INDEX])
    if index is None:
        return {}, wrong
    places = index.get("weight_map")
    if not isinstance(places, dict) or not places:
        return {}, [Finding(INDEX, "weight_map", places, "the file of each tensor")]
    if len(places) > MOST_TENSORS:
        return {}, [Finding(INDEX, "weight_map", f"{len(places):,} tensors", f"at most {MOST_TENSORS:,}")]
    outside = [*islice(((name, file) for name, file in places.items() if not _plain_file(file)), finding.MOST)]
    if outside:
        return {}, [Finding(INDEX, f"weight_map.{name}", file, "the plain name of a .safetensors file beside it") for name, file in outside]  # fmt: skip
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(places.values())):
        if len(wrong) >= finding.MOST:
            break
        if not (directory / file).is_file():
            wrong.append(Finding(INDEX, "weight_map", file, "a file that is there"))
            continue
        found, more = header(directory / file)
        wrong += more
        wrong += _contradictions(file, found, places, tensors)
        tensors |= found
    if not wrong:
        lost = ((name, file) for name, file in places.items() if name not in tensors)
        wrong += [Finding(INDEX, f"weight_map.{name}", file, "a file that holds it") for name, file in islice(lost, finding.MOST)]  # fmt: skip
    return tensors, wrong


def _contradictions(
    file: str, found: Mapping[str, Tensor], places: Mapping[str, str], others: Mapping[str, Tensor]
) -> list[Finding]:
    """Where a shard disagrees with those before it, or with the index."""
    twice = (Finding(file, name, "in two files", "each tensor once") for name in found if name in others)
    misled = (Finding(INDEX, f"weight_map.{name}", places[name], f"{file}, which holds it") for name in found if places.get(name, file) != file)  # fmt: skip
    return [*islice(twice, finding.MOST), *islice(misled, finding.MOST)]


def _plain_file(name: object) -> bool:
    return isinstance(name, str) and name.endswith(".safetensors") and not set(name) & set("/\\:\0") and name.isprintable()  # fmt: skip
