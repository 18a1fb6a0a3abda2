"""YAML file → Recipe, with overrides; or one error that lists everything wrong with it, each with its line."""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pakar.errors import RecipeError
from pakar.recipe import Recipe, Shape

KeyPath = tuple[str | int, ...]
MAX_BYTES = 1_000_000


def load(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read, override and validate a recipe. Relative data paths and model directories become absolute.

    Args:
        path: The YAML file.
        overrides: `dotted.key=value` strings; the value is read as YAML.

    Raises:
        RecipeError: with every problem of the file at once.
    """
    document = _read(path)
    for override in overrides:
        _apply(document, override)
    if document.problems:
        raise _error(path, document.problems)
    try:
        recipe = Recipe.model_validate(document.tree)
    except ValidationError as error:
        raise _error(path, _explain(error.errors(), document)) from None
    return _with_absolute_paths(recipe, path.parent)


def shape(yaml_text: str) -> Shape:
    """A source's shape, given as one YAML value on the command line.

    Raises:
        RecipeError: it is not a shape.
    """
    name = "prepare.sources.0.shape"
    document = _Document({"name": "x", "prepare": {"sources": [{"path": "x"}]}}, {}, [])
    _apply(document, f"{name}={yaml_text}")
    try:
        return Recipe.model_validate(document.tree).prepare.sources[0].shape
    except ValidationError as error:
        raise _error(Path("--shape"), _explain(error.errors(), document)) from None


def json_schema() -> str:
    """JSON Schema of the recipe, for editors that complete and check YAML."""
    schema = Recipe.model_json_schema()
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2)


def dump(recipe: Recipe) -> str:
    """The recipe as YAML with every default written out."""
    tree = recipe.model_dump(mode="json")
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=110)


def _with_absolute_paths(recipe: Recipe, folder: Path) -> Recipe:
    sources = tuple(s.model_copy(update={"path": str((folder / s.path).resolve())}) for s in recipe.prepare.sources)
    prepare = recipe.prepare.model_copy(update={"sources": sources})
    base = recipe.model.base
    local = folder / base
    if base != "starter" and (local.exists() or base.startswith((".", "/", "~"))):
        base = str((folder / Path(base).expanduser()).resolve())
    return recipe.model_copy(update={"prepare": prepare, "model": recipe.model.model_copy(update={"base": base})})


@dataclass
class _Document:
    """A YAML tree that remembers the line of every key."""

    tree: Any
    lines: dict[KeyPath, int]
    problems: list[str]

    def number(self, path: KeyPath) -> int | None:
        """Line of the nearest key on `path` that stands in the file; 0 for values from --set."""
        return next((self.lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self.lines), None)

    def line(self, path: KeyPath) -> str:
        """`line 7: `, or `--set: `, or nothing."""
        number = self.number(path)
        return "" if number is None else f"line {number}: " if number else "--set: "


def _read(path: Path) -> _Document:
    if not path.exists():
        near = difflib.get_close_matches(
            path.name, [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else [], 1
        )
        hint = (
            f"did you mean {path.parent / near[0]}?"
            if near
            else "`pakar init YOUR-DATA-FILE` writes a recipe for your data."
        )
        raise RecipeError(f"there is no recipe {path}", next_step=hint)
    if path.is_dir():
        raise RecipeError(
            f"{path} is a directory; expected a YAML recipe file", next_step="name the .yaml file inside it."
        )
    if path.stat().st_size > MAX_BYTES:
        raise RecipeError(f"{path} has {path.stat().st_size:,} bytes; a recipe has at most {MAX_BYTES:,}. Is it a data file?",
                          next_step=f"`pakar init {path}` writes a recipe for a data file.")  # fmt: skip
    try:
        root = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise RecipeError(f"{path} is not valid YAML:\n  {place}{getattr(error, 'problem', None) or error}") from None
    if not isinstance(root, yaml.MappingNode):
        raise RecipeError(f"{path} holds no settings; expected keys such as `name:` and `prepare:`",
                          next_step="`pakar init YOUR-DATA-FILE` writes a recipe to start from.")  # fmt: skip
    document = _Document(tree=None, lines={}, problems=[])
    document.tree = _build(root, (), document)
    return document


def _build(node: yaml.Node, path: KeyPath, document: _Document) -> Any:
    """Turn a YAML node into Python values, noting lines, refusing repeated keys and aliases (which can explode)."""
    document.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in values:
                document.problems.append(f"line {line}: {_dotted((*path, key))}: this key stands twice in its section")
            document.lines[(*path, key)] = line
            values[key] = _build(value_node, (*path, key), document)
        return values
    if isinstance(node, yaml.SequenceNode):
        return [_build(child, (*path, index), document) for index, child in enumerate(node.value)]
    return yaml.SafeLoader("").construct_object(node)


def _apply(document: _Document, override: str) -> None:
    """Set one dotted key. A changed `kind` drops the neighbours that the new kind does not know."""
    name, equals, text = override.partition("=")
    if not equals or not name.strip():
        raise RecipeError(
            f"--set {override!r} is not of the form key=value", next_step="for example `--set train.epochs=3`."
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise RecipeError(
            f"--set {name}: {text!r} is not a YAML value", next_step="quote it, for example `--set name='my run'`."
        ) from None
    path = tuple(int(part) if part.isdigit() else part for part in name.strip().split("."))
    here = document.tree
    for depth, part in enumerate(path[:-1]):
        here = _enter(here, part, _dotted(path[: depth + 1]))
    if path[-1] == "kind" and isinstance(here, dict) and here.get("kind") != value:
        known = _fields_of_kind(path[:-1], value)
        for neighbour in [k for k in here if known is not None and k not in known]:
            del here[neighbour]
    if isinstance(here, list):
        index = _index(here, path[-1], _dotted(path))
        here[index] = value
    else:
        here[path[-1]] = value
    document.lines[path] = 0


def _enter(here: Any, part: str | int, name: str) -> Any:
    if isinstance(here, list):
        return here[_index(here, part, name)]
    if not isinstance(here.setdefault(part, {}), dict | list):
        raise RecipeError(f"--set: {name} is a single value ({here[part]!r}); it has no keys below it")
    return here[part]


def _index(here: list[Any], part: str | int, name: str) -> int:
    if not isinstance(part, int) or part >= len(here):
        raise RecipeError(f"--set: {name} must be a number from 0 to {len(here) - 1}: it counts the list's entries")
    return part


def _error(path: Path, problems: Sequence[str]) -> RecipeError:
    listed = "\n".join(f"  {problem}" for problem in problems)
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    mend = f"mend the file, then `pakar check {path}`." if path.suffix else ""
    return RecipeError(f"{count} in {path}:\n{listed}", next_step=mend)


def _explain(details: Sequence[ErrorDetails], document: _Document) -> list[str]:
    """All problems in the order of the file. A list "too short" only because its entries are wrong is not told."""
    told = []
    for detail in details:
        deeper = any(other["loc"][: len(detail["loc"])] == detail["loc"] for other in details if other is not detail)
        if not (detail["type"] == "too_short" and deeper):
            told.append((document.number(_without_tags(detail["loc"], document.tree)), _describe(detail, document)))
    return [text for _, text in sorted(told, key=lambda entry: entry[0] or 0)]


def _describe(detail: ErrorDetails, document: _Document) -> str:
    """One problem as `line 7: train.epochs = 'x': expected …`."""
    path = _without_tags(detail["loc"], document.tree)
    found = (
        ""
        if detail["type"] in ("missing", "extra_forbidden") or isinstance(detail["input"], dict)
        else f" = {detail['input']!r}"
    )
    match detail["type"]:
        case "extra_forbidden":
            near = difflib.get_close_matches(str(path[-1]), names := _names_beside(path), 1, 0.5)
            expected = (
                f"unknown key; did you mean `{near[0]}`?" if near else f"unknown key; known here: {', '.join(names)}"
            )
        case "missing":
            expected = "is missing and has no default"
        case "union_tag_invalid" | "union_tag_not_found" | "literal_error":
            options = str(
                detail.get("ctx", {}).get("expected_tags") or detail.get("ctx", {}).get("expected") or "a `kind:`"
            )
            tag = detail.get("ctx", {}).get("tag")
            near = difflib.get_close_matches(
                str(tag or detail["input"]), options.replace("'", "").replace(" or ", ", ").split(", "), 1
            )
            found = f" has kind {tag!r}" if tag is not None else found
            expected = f"expected {options}" + (f"; did you mean {near[0]}?" if near else "")
        case "value_error":
            expected, found = str(detail.get("ctx", {}).get("error", detail["msg"])), ""
        case _:
            message = detail["msg"].removeprefix("Input ").removeprefix("String ")
            expected = message.replace("should be", "expected").replace(
                "should match pattern", "expected text that matches"
            )
    return f"{document.line(path)}{_dotted(path) or 'recipe'}{found}: {expected}"


def _without_tags(location: Sequence[str | int], tree: Any) -> KeyPath:
    """Pydantic puts union tags into an error's path; keep only the steps that exist in the user's tree, plus the last."""
    path: list[str | int] = []
    here = tree
    for position, part in enumerate(location):
        last = position == len(location) - 1
        if isinstance(here, dict) and (part in here or (last and part not in _tags(here))):
            path.append(part)
            here = here.get(part)
        elif isinstance(here, list) and isinstance(part, int):
            path.append(part)
            here = here[part] if part < len(here) else None
    return tuple(path)


def _tags(section: dict[str, Any]) -> tuple[str, ...]:
    return (str(section["kind"]),) if "kind" in section else ()


def _names_beside(path: KeyPath) -> list[str]:
    """All keys that may stand beside the last key of `path`, over all kinds of the section."""
    return sorted({name for section in _sections_at(path[:-1]) for name in section.model_fields})


def _fields_of_kind(path: KeyPath, kind: Any) -> set[str] | None:
    for section in _sections_at(path):
        if "kind" in section.model_fields and section.model_fields["kind"].default == kind:
            return set(section.model_fields)
    return None


def _sections_at(path: KeyPath) -> list[type[BaseModel]]:
    """The section classes that can stand at `path`."""
    sections: list[type[BaseModel]] = [Recipe]
    for part in path:
        if isinstance(part, int):
            continue
        fields = [s.model_fields[part].annotation for s in sections if part in s.model_fields]
        sections = [found for annotation in fields for found in models_in(annotation)]
    return sections


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The section classes inside a type annotation, such as all members of a tagged choice."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, Annotated, tuple, list):
        for argument in get_args(annotation):
            yield from models_in(argument)


def _dotted(path: KeyPath) -> str:
    return ".".join(str(part) for part in path)
