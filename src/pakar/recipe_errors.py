"""What is wrong with a recipe, in the user's words: where it stands, what was found, what was expected.

Knows the recipe's types and pydantic's error records; reads no file.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from pakar.errors import RecipeError
from pakar.recipe import Recipe

KeyPath = tuple[str | int, ...]
FROM_OPTION = 0
"""The "line" of a value that came from the command line."""


class Problem(NamedTuple):
    """One thing that is wrong: on which line (`FROM_OPTION`, or None where nothing stands), and what."""

    line: int | None
    what: str


def explain(details: Sequence[ErrorDetails], tree: Any, lines: Mapping[KeyPath, int]) -> list[Problem]:
    """All problems in the order of the file; of a list and its entries only the entries are told."""
    by_path: dict[KeyPath, list[ErrorDetails]] = {}
    for detail in details:
        by_path.setdefault(_without_tags(detail, tree), []).append(detail)
    told = []
    for path, here in by_path.items():
        if not any(other != path and other[: len(path)] == path for other in by_path):
            choices = " or ".join(dict.fromkeys(_expected(detail, path).removeprefix("expected ") for detail in here))
            expected = f"expected {choices}" if _expected(here[0], path).startswith("expected ") else choices
            told.append(Problem(_line(here[0], path, lines), f"{dotted(path)}{_found(here[0])}: {expected}"))
    return sorted(told, key=lambda problem: problem.line or 0)


def nearest_line(path: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    """Line of the last key on `path` that stands in the file or on the command line."""
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)


def all_problems(path: Path, problems: Sequence[Problem]) -> RecipeError:
    """One error that lists every problem of the recipe `path`, and says what to mend."""
    places = {None: "", FROM_OPTION: "--set: "}
    listed = "\n".join(f"  {places.get(line, f'line {line}: ')}{what}" for line, what in problems)
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    options = {line == FROM_OPTION for line, _ in problems}
    if options == {True}:
        return RecipeError(f"{count} in --set for {path}:\n{listed}", next_step="mend the --set value.")
    mend = "mend the file and the --set value" if True in options else "mend the file"
    return RecipeError(f"{count} in {path}:\n{listed}", next_step=f"{mend}, then `pakar check {path}`.")


def dotted(path: KeyPath) -> str:
    """`prepare.sources.0.path`."""
    return ".".join(str(part) for part in path)


def shown(value: Any) -> str:
    """A value as the user wrote it, shortened."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _line(detail: ErrorDetails, path: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    """Where to look: at a bad `kind` itself, at the command line if it touched the section, else at the nearest key."""
    if detail["type"].startswith("union_tag") and (*path, "kind") in lines:
        return lines[*path, "kind"]
    if detail["type"] == "missing" and lines.get((*path[:-1], "kind")) == FROM_OPTION:
        return FROM_OPTION
    if any(line == FROM_OPTION and key[: len(path)] == path for key, line in lines.items()):
        return FROM_OPTION
    return nearest_line(path, lines)


def _found(detail: ErrorDetails) -> str:
    value = detail["input"]
    if detail["type"] == "union_tag_invalid":
        return f" has kind {shown(value['kind'])}"
    if detail["type"] in ("missing", "extra_forbidden", "value_error") or isinstance(value, dict):
        return ""
    return " is empty" if value is None else f" = {shown(value)}"


def _expected(detail: ErrorDetails, path: KeyPath) -> str:
    """What should stand there instead."""
    value, context = detail["input"], detail.get("ctx", {})
    unquoted = " without quotes" if isinstance(value, str) and _is_number(value) else ""
    quoted = "; put it in quotes" if isinstance(value, bool | int | float) else ""
    match detail["type"]:
        case "extra_forbidden":
            tag = detail["loc"][-2] if len(detail["loc"]) > 1 else None
            names = sorted(fields_of_kind(path[:-1], tag) or _names_beside(path))
            near = difflib.get_close_matches(str(path[-1]), names, 1, 0.5)
            told = f"unknown key; did you mean `{near[0]}`?" if near else f"unknown key; known here: {', '.join(names)}"
        case "missing":
            position = detail["loc"][-1]
            told = f"expected {position + 1} entries" if isinstance(position, int) else "is missing and has no default"
        case "union_tag_invalid":
            told = _choice(context["expected_tags"], context["tag"])
        case "union_tag_not_found":
            told = f"`kind` is missing; expected one of {', '.join(_kinds(path))}"
        case "literal_error":
            told = _choice(context["expected"], value)
        case "model_type" | "model_attributes_type":
            told = f"expected a section with keys such as {_keys_of(path, value)}"
        case "value_error":
            told = str(context["error"])
        case other:
            told = {
                "int_type": f"expected a whole number{unquoted}",
                "float_type": f"expected a number{unquoted}",
                "string_type": f"expected text{quoted}",
                "tuple_type": "expected a list",
                "too_short": "expected a list with at least one entry",
                "too_long": f"expected at most {context.get('max_length')} entries",
            }.get(other) or _reworded(detail["msg"])
    return told


def _reworded(message: str) -> str:
    message = message.removeprefix("Input ").removeprefix("String ")
    message = message.replace("should match pattern", "expected text that matches")
    return message.replace("should be", "expected").replace("should have", "expected")


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _choice(options: str, found: Any) -> str:
    near = difflib.get_close_matches(str(found), options.replace("'", "").replace(" or ", ", ").split(", "), 1)
    return f"expected {options}" + (f"; did you mean {near[0]}?" if near else "")


def _keys_of(path: KeyPath, found: Any) -> str:
    kinds = _kinds(path)
    if kinds:
        return f"`kind: {found if found in kinds else kinds[0]}`"
    return ", ".join([name for section in sections_at(path) for name in section.model_fields][:3])


def _without_tags(detail: ErrorDetails, tree: Any) -> KeyPath:
    """Pydantic puts union tags into an error's path; keep only the steps that exist in the user's tree, plus the last.

    An entry that a list lacks is the list's problem.
    """
    location, missing = detail["loc"], detail["type"] == "missing"
    path: list[str | int] = []
    here = tree
    for position, part in enumerate(location):
        last = position == len(location) - 1
        if isinstance(here, dict) and (part in here or (last and part != here.get("kind"))):
            path.append(part)
            here = here.get(str(part))
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            path.append(part)
            here = here[part]
        elif here is None and missing:
            path.append(part)
    return tuple(path)


def _names_beside(path: KeyPath) -> list[str]:
    """All keys that may stand beside the last key of `path`, over all kinds of the section."""
    return sorted({name for section in sections_at(path[:-1]) for name in section.model_fields})


def _kinds(path: KeyPath) -> list[str]:
    return [str(s.model_fields["kind"].default) for s in sections_at(path) if "kind" in s.model_fields]


def sections_at(path: KeyPath) -> list[type[BaseModel]]:
    """The section classes that can stand at `path`."""
    sections: list[type[BaseModel]] = [Recipe]
    for part in path:
        if isinstance(part, int):
            continue
        fields = [s.model_fields[part].annotation for s in sections if part in s.model_fields]
        sections = [found for annotation in fields for found in models_in(annotation)]
    return sections


def fields_of_kind(path: KeyPath, kind: Any) -> set[str] | None:
    """The keys of the section at `path` if it is of this kind; None if there is no such kind."""
    for section in sections_at(path):
        if "kind" in section.model_fields and section.model_fields["kind"].default == kind:
            return set(section.model_fields)
    return None


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The section classes inside a type annotation, such as all members of a tagged choice."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, Annotated, tuple, list):
        for argument in get_args(annotation):
            yield from models_in(argument)
