"""What was found wrong, and the strict reading of JSON that everything here begins with."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pakar import text

MOST_KEYS = 2_000_000
"""Keys of one JSON file; the largest real ones, tokenizers with 260,000 tokens, have a fifth of them."""

MOST = 20
"""Findings in one file after which its reading ends: it is refused all the same."""

DEEPEST = 32
"""Levels of nesting that a JSON file may have; real configurations have up to six."""


class Finding(NamedTuple):
    """One thing that is not known to be harmless.

    Attributes:
        file: Name inside the directory.
        key: Dotted path of a key, or the name of a tensor; empty: the whole file.
        value: What stands there.
        expected: What would have been accepted.
    """

    file: str
    key: str
    value: object
    expected: str

    def __str__(self) -> str:
        """One line, without control characters: names and values are a stranger's."""
        key = f": {_plain(self.key)}" if self.key else ""
        return f"{_plain(self.file)}{key} = {shown(self.value)}; expected {self.expected}"


class _RepeatedKeyError(ValueError):
    pass


def shown(value: object, longest: int = 90) -> str:
    """`value` for a message: at most `longest` letters, on one line, printable."""
    written = value if isinstance(value, str) else repr(value) if isinstance(value, int) and -(10**18) < value < 10**18 else _dumped(value)  # fmt: skip
    return text.shorten(_plain(written), longest)


def read(path: Path, limit: int) -> tuple[dict[str, Any] | None, list[Finding]]:
    """The JSON object in a file, or None and why it was not taken.

    Args:
        path: May be absent: then there is no object and nothing wrong.
        limit: Most bytes.
    """
    if not path.exists():
        return None, []
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        return None, [Finding(path.name, "", "a folder, pipe or device", "a file")]
    with path.open("rb") as file:
        raw = file.read(limit + 1)
    if len(raw) > limit:
        return None, [Finding(path.name, "", f"{status.st_size:,} bytes", f"at most {limit:,} bytes")]
    return parse(raw, path.name)


def parse(raw: bytes, name: str, most_keys: int = MOST_KEYS) -> tuple[dict[str, Any] | None, list[Finding]]:
    """The JSON object in bytes, or None and why it was not taken: also keys that stand twice, and deep nesting."""
    if raw.count(b":") > most_keys:  # more than keys if anything: texts may hold some, too
        return None, [Finding(name, "", f"{raw.count(b':'):,} colons", f"at most {most_keys:,} keys")]
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
    except _RepeatedKeyError as error:
        return None, [Finding(name, "", str(error), "every key once: readers differ in which one they take")]
    except (ValueError, RecursionError, MemoryError) as error:
        return None, [Finding(name, "", f"unreadable ({error})", "a JSON object in UTF-8")]
    if not isinstance(value, dict):
        return None, [Finding(name, "", value, "a JSON object")]
    if not _flat(value):
        return None, [Finding(name, "", "deep nesting", f"at most {DEEPEST} levels")]
    return value, []


def walk(value: object, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """(path, key, value) of every key of nested objects and lists, outer ones first."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{path}{key}", key, inner
            yield from walk(inner, f"{path}{key}.")
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from walk(inner, f"{path}{position}.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    done = dict(pairs)
    if len(done) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _RepeatedKeyError(f"the key {json.dumps(twice)} stands twice")
    return done


def _flat(value: object) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        inner = [child for outer in level for child in _children(outer)]
        level = [child for child in inner if isinstance(child, (dict, list))]
        if not level:
            return True
    return False


def _children(value: object) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []


def _plain(value: str) -> str:
    return value if value.isascii() and value.isprintable() else json.dumps(value)


def _dumped(value: object) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return type(value).__name__
