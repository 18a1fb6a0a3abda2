"""The word lists in `lists.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

_ALL: dict[str, Any] = tomllib.loads(Path(__file__).with_name("lists.toml").read_text("utf-8"))
LABELS: dict[str, frozenset[str]] = {name: frozenset(words) for name, words in _ALL["labels"].items()}
SENTENCES: dict[str, list[str]] = _ALL["sentences"]
NAMES: dict[str, dict[str, list[str]]] = _ALL["names"]
