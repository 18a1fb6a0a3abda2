"""Chat templates: programs that come with a model.

Each is parsed, looked through for what no template needs, and rendered in a process of its own, whose memory, time and
output are bounded, in the same sandbox that transformers renders it in.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from pakar.errors import UserError
from pakar.models.intake import finding
from pakar.models.intake.finding import Finding
from pakar.models.intake.layout import LARGEST_TEMPLATE, LIMITS, TEMPLATES

SECONDS = 5
"""Processor time for all conversations; the slowest real template takes hundredths."""

NOT_INSTALLED = 86
"""Exit code of the process if it lacks a library."""

_START = f"""
import json, runpy, sys
sys.path[:0] = json.loads(sys.argv.pop(1))
try:
    import jinja2, jinja2.sandbox
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit({NOT_INSTALLED})
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Isolated from environment variables, the working directory and the user's packages, apart from what is handed over."""

_PATIENCE = 60
"""Seconds by the clock, for machines that are busy."""


def findings(directory: Path) -> Iterator[Finding]:
    """What is wrong with any of the templates that a tokenizer would bring along."""
    for file, key, template in _templates(directory):
        if not isinstance(template, str):
            yield Finding(file, key, template, "a template's text")
        elif len(template) > LARGEST_TEMPLATE:
            yield Finding(file, key, f"{len(template):,} letters", f"at most {LARGEST_TEMPLATE:,} letters")
        elif refused := _refused(template):
            yield Finding(file, key, refused, "a template that only writes the conversation")


def _templates(directory: Path) -> Iterator[tuple[str, str, object]]:
    for path in [directory / "chat_template.jinja", *sorted((directory / TEMPLATES).glob("*.jinja"))]:
        if path.exists():
            yield path.relative_to(directory).as_posix(), "", path.read_bytes().decode("utf-8", errors="replace")
    config, _ = finding.read(directory / "tokenizer_config.json", LIMITS["tokenizer_config.json"])
    own = (config or {}).get("chat_template")
    if isinstance(own, list):  # several by name
        for position, entry in enumerate(own):
            template = entry.get("template") if isinstance(entry, dict) else entry
            yield "tokenizer_config.json", f"chat_template.{position}", template
    elif isinstance(own, dict):
        for name, template in own.items():
            yield "tokenizer_config.json", f"chat_template.{name}", template
    elif own is not None:
        yield "tokenizer_config.json", "chat_template", own


def _places() -> list[str]:
    """Where this process has Jinja from, which may be the user's packages, or a path of a cluster's worker."""
    specs = [importlib.util.find_spec(name) for name in ("jinja2", "markupsafe")]
    found = (str(Path(spec.origin).absolute().parent.parent) for spec in specs if spec is not None and spec.origin)
    return [*dict.fromkeys(found)]


def _last_line(told: bytes) -> str:
    return told.decode(errors="replace").strip().rpartition("\n")[2]


@lru_cache(maxsize=256)
def _refused(template: str) -> str:
    """Why a template is refused, or an empty text.

    Raises:
        UserError: this installation lacks what it takes to try it.
    """
    command = [sys.executable, "-I", "-c", _START, json.dumps(_places()), str(Path(__file__).with_name("sandbox.py")), str(SECONDS)]  # fmt: skip
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, our own file
            command, input=json.dumps(template).encode(), capture_output=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it does not end within {_PATIENCE} s"
    if done.returncode == NOT_INSTALLED:
        raise UserError(f"chat templates cannot be tried, for the library to try them with is not found: {_last_line(done.stderr)}",
                        next_step="mend this installation: `pip install --force-reinstall jinja2 markupsafe`. The model is not to blame.")  # fmt: skip
    if done.returncode > 0:
        return f"trying it failed: {_last_line(done.stderr)}"
    if done.returncode:  # ended by the system
        return f"it does not end within {SECONDS} s, or needs too much memory"
    return str(json.loads(done.stdout)["refused"])
