"""Write docs/recipe.md from the recipe's own types and docstrings; `--check` only says whether it is up to date.

python scripts/recipe_reference.py
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pakar import recipe
from pakar.recipe_errors import models_in

PAGE = Path(__file__).parent.parent / "docs" / "recipe.md"
HEAD = """# The recipe

Every key, its default and its meaning. `pakar check --schema` prints the same as JSON Schema, which editors use to complete
and check YAML. Unknown keys are errors. Written by `make docs`; do not edit.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_section(recipe.Recipe, ""), ""])


def _section(section: type[BaseModel], path: str) -> Iterator[str]:
    rows, below = [], []
    for name, field in section.model_fields.items():
        full = f"{path}.{name}" if path else name
        inner = list(models_in(field.annotation))
        if inner:
            below.append((full, inner))
        if field.description or not inner:
            rows.append(
                f"| `{name}` | {_default(field.get_default(call_default_factory=True), required=field.is_required())} | {_prose(field.description)} |"
            )
    rows = [row for row in rows if not row.startswith("| `kind`")]
    if rows:
        yield from ["| key | default | meaning |", "|---|---|---|", *rows, ""]
    for full, inner in below:
        yield from _below(full, inner)


def _below(path: str, sections: list[type[BaseModel]]) -> Iterator[str]:
    for section in sections:
        kind = section.model_fields["kind"].default if "kind" in section.model_fields else None
        yield f"## `{path}`" + (f" `{{kind: {kind}}}`" if kind else "")
        yield ""
        yield from [_prose(section.__doc__), ""]
        yield from _section(section, path)


def _default(value: Any, *, required: bool) -> str:
    if required:
        return "required"
    if isinstance(value, BaseModel):
        return f"`{{kind: {kind}}}`" if (kind := getattr(value, "kind", None)) else "see below"
    if isinstance(value, tuple):
        return f"`[{', '.join(str(getattr(one, 'kind', one)) for one in value)}]`"
    return "empty" if value in (None, "") else f"`{value}`"


def _prose(docstring: str | None) -> str:
    return " ".join((docstring or "").split())


def main() -> None:
    if sys.argv[1:] == ["--check"]:
        if PAGE.read_text(encoding="utf-8") != page():
            sys.exit(f"{PAGE.name} is stale; run `make docs`")
    else:
        PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
