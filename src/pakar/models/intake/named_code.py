"""The key `auto_map` of config.json: names of classes in Python files that come with a model.

Models of architectures that transformers has long had built in (Falcon, Phi-3) carry it from the days before. There it
is not needed: `pakar.models.configuration` hands the configuration on without it. It has to be harmless even if
some library obeyed it: a file that it names is not there, and no other repository is named that one could be fetched from.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pakar.models.intake.finding import Finding

KEY = "auto_map"
_FILE = "config.json"


def findings(names: object, directory: Path) -> Iterator[Finding]:
    """What is wrong with the value of a configuration's own `auto_map`, if the architecture is built in."""
    if not isinstance(names, dict):
        yield Finding(_FILE, KEY, names, "names of classes, or no such key")
        return
    for key, value in names.items():
        for name in value if isinstance(value, list) else [value]:
            if name is not None and (wrong := _expected(name, directory)):
                yield Finding(_FILE, f"{KEY}.{key}", name, wrong)


def _expected(name: object, directory: Path) -> str:
    """What would have been accepted in place of the name of a class; empty: it may stay."""
    module, dot, kind = name.partition(".") if isinstance(name, str) else ("", "", "")
    if "--" in module:
        return "no code from another repository: code that comes with a model is never run"
    if not (dot and module.isidentifier() and kind.isidentifier()):
        return "file.Class, or no such key: code that comes with a model is never run"
    if os.path.lexists(directory / f"{module}.py"):
        return f"that {module}.py does not lie beside it: code that comes with a model is never run"
    return ""
