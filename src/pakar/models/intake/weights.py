"""Safetensors, looked at without the library: only headers and sizes are read, never a number of a tensor.

Format: 8 bytes (little-endian length N of the header), N bytes of JSON (name → dtype, shape, [begin, end) in what
follows), the bytes of the tensors without gaps or overlaps to the end of the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pakar.models.intake import finding
from pakar.models.intake.finding import Finding
from pakar.models.intake.layout import ADAPTER_WEIGHTS, INDEX, LIMITS, WEIGHTS

LONGEST_HEADER = 100_000_000
"""Bytes; the library's own limit."""

BITS = {
    "F4": 4,
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2", "F8_E5M2FNUZ", "F8_E8M0"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}
"""Number of bits of one element, by dtype."""

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
    return _sharded(directory)


def header(path: Path) -> tuple[dict[str, Tensor], list[Finding]]:
    """The tensors of one file, and what is wrong with it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(LONGEST_HEADER, size - 8):
            limit = f"2 to {max(min(LONGEST_HEADER, size - 8), 0):,} bytes"
            return {}, [Finding(path.name, "length of the header", length, f"{limit}: the file may be cut off")]
        entries, wrong = finding.parse(file.read(length), path.name)
    if entries is None:
        return {}, wrong
    return _tensors(entries, path.name, size - 8 - length)


def _tensors(entries: dict[str, Any], file: str, num_bytes: int) -> tuple[dict[str, Tensor], list[Finding]]:
    wrong: list[Finding] = []
    metadata = entries.pop("__metadata__", {})
    if not (isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())):
        wrong.append(Finding(file, "__metadata__", metadata, "texts by name"))
    tensors: dict[str, Tensor] = {}
    for name, entry in entries.items():
        try:
            tensors[name] = _tensor(name, entry)
        except EntryError as error:
            wrong.append(Finding(file, name, entry, str(error)))
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
    outside = [(name, file) for name, file in places.items() if not _plain_file(file)]
    if outside:
        return {}, [Finding(INDEX, f"weight_map.{name}", file, "the plain name of a .safetensors file beside it") for name, file in outside]  # fmt: skip
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(places.values())):
        if not (directory / file).is_file():
            wrong.append(Finding(INDEX, "weight_map", file, "a file that is there"))
            continue
        found, more = header(directory / file)
        wrong += more
        wrong += [Finding(file, name, "in two files", "each tensor once") for name in found if name in tensors]
        wrong += [Finding(INDEX, f"weight_map.{name}", places[name], f"{file}, which holds it") for name in found if places.get(name, file) != file]  # fmt: skip
        tensors |= found
    if not wrong:
        wrong += [Finding(INDEX, f"weight_map.{name}", file, "a file that holds it") for name, file in places.items() if name not in tensors]  # fmt: skip
    return tensors, wrong


def _plain_file(name: object) -> bool:
    return isinstance(name, str) and name.endswith(".safetensors") and not set(name) & set("/\\:\0") and name.isprintable()  # fmt: skip
