"""The steps of a tokenizer.json that change a text: none makes it many times longer, and none ends the library.

Six replacements of a letter by ten make a million of it. What a step can do at most is computed, nothing is tried.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator, Mapping
from typing import Any

from pakar.models.intake.finding import Finding

MOST_GROWTH = 64
"""Times as many letters as before that all replacements of a normalizer, or of a decoder, may make of a text together.
Real ones put a letter in the place of another, or a short mark in the place of a line end."""

LONGEST_PREFIX = 64
"""Letters that may be put before a text."""

_PLACES = ("normalizer", "pre_tokenizer", "decoder")


def findings(tokenizer: Mapping[str, Any], name: str) -> Iterator[Finding]:
    """What is wrong with the steps in the content of a tokenizer.json."""
    for place in _PLACES:
        steps = [*_steps(tokenizer.get(place), place)]
        growth = math.prod(_growth(step) for _, step in steps if step.get("type") == "Replace")
        if growth > MOST_GROWTH:
            yield Finding(name, place, f"up to {growth:.3g} times longer texts", f"at most {MOST_GROWTH} times, by all replacements together")  # fmt: skip
        for path, step in steps:
            yield from _step(path, step, name)


def _steps(value: object, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A step and those that it is made of, at any depth."""
    if isinstance(value, dict):
        yield path, value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield from _steps(one, f"{path}.{name}")


def _step(path: str, step: Mapping[str, Any], name: str) -> Iterator[Finding]:
    prefix = step.get("prepend")
    if isinstance(prefix, str) and len(prefix) > LONGEST_PREFIX:
        yield Finding(name, f"{path}.prepend", f"{len(prefix):,} letters", f"at most {LONGEST_PREFIX}")
    table = step.get("precompiled_charsmap")
    if step.get("type") == "Precompiled" and table is not None and not _is_table(table):
        yield Finding(name, f"{path}.precompiled_charsmap", table, "a table of letters as SentencePiece makes it")


def _growth(step: Mapping[str, Any]) -> float:
    """Most letters that come out for one that goes in; at least 1, as not every text is met by every step."""
    content, pattern = step.get("content"), step.get("pattern")
    written = len(content) if isinstance(content, str) else 0
    literal = pattern.get("String") if isinstance(pattern, dict) else pattern
    if isinstance(literal, str) and literal:
        return max(1.0, written / len(literal))
    return 1.0 if written <= 1 else 1.0 + written  # a regular expression may match nothing, before every letter


def _is_table(table: object) -> bool:
    """Length of the trie in 4 bytes (little-endian), the trie in units of 4 bytes, then texts that end with a zero."""
    try:
        raw = base64.b64decode(table, validate=True) if isinstance(table, str) else b""
    except (ValueError, binascii.Error):
        return False
    length = int.from_bytes(raw[:4], "little")
    try:
        raw[4 + length :].decode()
    except UnicodeDecodeError:
        return False
    return len(raw) > 4 and 0 < length <= len(raw) - 4 and length % 4 == 0
