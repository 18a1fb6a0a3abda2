"""YAML file → Recipe, with overrides; or one error that lists everything wrong with it, each with its line."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from yaml.composer import ComposerError

from pakar.errors import RecipeError
from pakar.recipe import Operator, Recipe, Shape, Source
from pakar.recipe.operators import Decontaminate, PersonNames
from pakar.recipe.sources import HUB
from pakar.recipe_errors import (
    FROM_OPTION,
    KeyPath,
    Problem,
    all_problems,
    dotted,
    explain,
    fields_of_kind,
    nearest_line,
    shown,
)

__all__ = ["dump", "json_schema", "load", "shape"]

MAX_BYTES = 1_000_000
MAX_DEPTH = 30
YAML_TAG = "tag:yaml.org,2002:"
NOT_YAML = (yaml.YAMLError, ValueError, LookupError, OverflowError, RecursionError)


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
    recipe, problems = _validated(document)
    if recipe is None:
        raise all_problems(path, problems)
    return _with_absolute_paths(recipe, path.parent)


def shape(yaml_text: str) -> Shape:
    """A source's shape, given as one YAML value on the command line.

    Raises:
        RecipeError: it is not a shape.
    """
    source: dict[str, Any] = {"path": "x"}
    document = _Document({"name": "x", "prepare": {"sources": [source]}})
    source["shape"] = _option_value(document, ("prepare", "sources", 0, "shape"), yaml_text, "--shape")
    recipe, problems = _validated(document)
    if recipe is None:
        told = "\n".join(f"  {what.removeprefix('prepare.sources.0.')}" for _, what in problems)
        raise RecipeError(f"--shape is not a shape:\n{told}", next_step="mend the --shape value.")
    return recipe.prepare.sources[0].shape


def json_schema() -> str:
    """JSON Schema of the recipe, for editors that complete and check YAML."""
    schema = Recipe.model_json_schema()
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2)


def from_json(tree: str) -> Recipe:
    """A recipe that was written with `model_dump_json`, in another process."""
    return Recipe.model_validate_json(tree)


def dump(recipe: Recipe) -> str:
    """The recipe as YAML with every default written out."""
    tree = recipe.model_dump(mode="json")
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=110)


def _with_absolute_paths(recipe: Recipe, folder: Path) -> Recipe:
    prepare = recipe.prepare.model_copy(
        update={
            "sources": _absolute_sources(folder, recipe.prepare.sources),
            "operators": tuple(_operator_with_absolute_paths(folder, one) for one in recipe.prepare.operators),
        }
    )
    base = recipe.model.base
    local = os.path.exists(folder / base)  # noqa: PTH110 - Path.exists raises for a name that is too long for a file
    if recipe.model.architecture is None and base != "starter" and (base.startswith((".", "/", "~")) or local):
        base = _absolute(folder, base)
    return recipe.model_copy(update={"prepare": prepare, "model": recipe.model.model_copy(update={"base": base})})


def _absolute_sources(folder: Path, sources: Sequence[Source]) -> tuple[Source, ...]:
    return tuple(source.model_copy(update={"path": _absolute(folder, source.path)}) for source in sources)


def _operator_with_absolute_paths(folder: Path, operator: Operator) -> Operator:
    match operator:
        case Decontaminate():
            return operator.model_copy(update={"against": _absolute_sources(folder, operator.against)})
        case PersonNames() if (folder / operator.recogniser).is_dir():
            return operator.model_copy(update={"recogniser": _absolute(folder, operator.recogniser)})
        case _:
            return operator


def _absolute(folder: Path, name: str) -> str:
    """`name` seen from `folder`; a leading `~` is the home directory. Patterns and `hf://` addresses stay what they are."""
    if name.startswith(HUB):
        return name
    try:
        return str((folder / Path(name).expanduser()).resolve())
    except (OSError, RuntimeError, ValueError) as error:
        raise RecipeError(f"{shown(name)} cannot be a path: {error}") from None


@dataclass
class _Document:
    """A YAML tree that remembers the line of every key, and what was wrong with it before it had types."""

    tree: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def _validated(document: _Document) -> tuple[Recipe | None, list[Problem]]:
    if document.problems:
        return None, document.problems
    try:
        return Recipe.model_validate(document.tree), []
    except ValidationError as error:
        return None, explain(error.errors(), document.tree, document.lines)


def _read(path: Path) -> _Document:
    text = _text(path)
    try:
        root = yaml.compose(text, Loader=_Loader)
    except NOT_YAML as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise RecipeError(f"{path} is not valid YAML:\n  {place}{getattr(error, 'problem', None) or error}") from None
    if not isinstance(root, yaml.MappingNode):
        raise RecipeError(f"{path} holds no settings; expected keys such as `name:` and `prepare:`",
                          next_step="`pakar init YOUR-DATA-FILE` writes a recipe to start from.")  # fmt: skip
    document = _Document(tree=None)
    document.tree = _Builder(document).value(root, ())
    return document


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            raise RecipeError(f"{path} is a directory; expected a YAML recipe file",
                              next_step="name the .yaml file inside it.")  # fmt: skip
        if (size := path.stat().st_size) > MAX_BYTES:
            raise RecipeError(f"{path} has {size:,} bytes; a recipe has at most {MAX_BYTES:,}. Is it a data file?",
                              next_step=f"`pakar init {path}` writes a recipe for a data file.")  # fmt: skip
        return path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise RecipeError(f"there is no recipe {path}", next_step=_nearest(path)) from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start})") from None
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror or error}",
                          next_step="check the file's permissions.") from None  # fmt: skip


def _nearest(path: Path) -> str:
    names = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
    if near := difflib.get_close_matches(path.name, names, 1):
        return f"did you mean {path.parent / near[0]}?"
    return "`pakar init YOUR-DATA-FILE` writes a recipe for your data."


class _Loader(yaml.SafeLoader):
    """Refuses nesting that no recipe has, before it exhausts the stack."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise ComposerError(None, None, f"nested more than {MAX_DEPTH} deep", event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


@dataclass
class _Builder:
    """Turns YAML nodes into plain values; notes lines; refuses what a recipe does not need and what could explode."""

    document: _Document
    from_option: bool = False
    seen: set[int] = field(default_factory=set)

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        """The value of `node`, which stands at `path`."""
        if not self._is_new(node, path):
            return None
        self.document.lines.setdefault(path, self._line(node))
        kind = node.tag.removeprefix(YAML_TAG)
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self._section(node, path)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return [self.value(child, (*path, index)) for index, child in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, kind, path)
        return self._refuse(path, f"the tag {node.tag} is not supported; leave it out")

    def _section(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(path, "a key must be a single word", self._line(key_node))
                continue
            below = (*path, str(key_node.value))
            if not self._is_new(key_node, below, self._line(value_node)):
                continue
            self.document.lines[below] = self._line(key_node)
            if key_node.tag == YAML_TAG + "merge":
                self._refuse(below, "merge keys are not supported; write the keys out")
                continue
            if key_node.value in values:
                self._refuse(below, "this key stands twice in its section")
            values[key_node.value] = self.value(value_node, below)
        return values

    def _scalar(self, node: yaml.ScalarNode, kind: str, path: KeyPath) -> Any:
        """Null, boolean, number or text. Dates and YAML 1.1's base-60 numbers (1:30) are text."""
        if kind in ("str", "timestamp", "value", "merge") or (kind in ("int", "float") and ":" in node.value):
            return node.value
        if kind not in ("null", "bool", "int", "float"):
            return self._refuse(path, f"the tag {node.tag} is not supported; leave it out")
        try:
            value = yaml.SafeLoader("").construct_object(node)
        except NOT_YAML:
            return self._refuse(path, f"{shown(node.value)} cannot be read as {kind}")
        if isinstance(value, int) and abs(value) >= 2**63:
            return self._refuse(path, "this number has too many digits")
        return value

    def _is_new(self, node: yaml.Node, path: KeyPath, line: int | None = None) -> bool:
        if id(node) in self.seen:
            self._refuse(path, "aliases are not allowed; write the value out", line)
            return False
        self.seen.add(id(node))
        return True

    def _refuse(self, path: KeyPath, what: str, line: int | None = None) -> None:
        line = nearest_line(path, self.document.lines) if line is None else line
        self.document.problems.append(Problem(line, f"{dotted(path) or 'recipe'}: {what}"))

    def _line(self, node: yaml.Node) -> int:
        return FROM_OPTION if self.from_option else node.start_mark.line + 1


def _apply(document: _Document, override: str) -> None:
    """Set one dotted key. A changed `kind` drops the neighbours that the new kind does not know."""
    name, equals, text = override.partition("=")
    name = name.strip()
    if not equals or not name:
        raise RecipeError(f"--set {override!r} is not of the form key=value",
                          next_step="for example `--set train.epochs=3`.")  # fmt: skip
    *above, last = name.split(".")
    here, path = document.tree, KeyPath()
    for part in above:
        path = (*path, _step(here, part, path))
        here = _enter(here, path)
    key = _step(here, last, path)
    value = _option_value(document, (*path, key), text, f"--set {name}")
    if key == "kind" and here.get("kind") != value:
        known = fields_of_kind(path, value)
        for neighbour in [name for name in here if known is not None and name not in known]:
            del here[neighbour]
    here[key] = value


def _option_value(document: _Document, path: KeyPath, text: str, option: str) -> Any:
    """A value from the command line, read as YAML; it takes the place of all that the file says at `path`."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except NOT_YAML:
        raise RecipeError(f"{option}: {shown(text)} is not a YAML value",
                          next_step="quote it, for example `--set name='my run'`.") from None  # fmt: skip
    document.lines = {key: line for key, line in document.lines.items() if key[: len(path)] != path}
    document.lines[path] = FROM_OPTION
    return None if node is None else _Builder(document, from_option=True).value(node, path)


def _step(here: dict[str, Any] | list[Any], part: str, above: KeyPath) -> str | int:
    """`part` as a key, or as an entry's number where `here` is a list."""
    if isinstance(here, dict):
        return part
    if part.isascii() and part.isdecimal() and len(part) < 10 and int(part) < len(here):
        return int(part)
    entries = f"must be a number from 0 to {len(here) - 1}: it counts the list's entries" if here else "has no entries"
    raise RecipeError(f"--set: {dotted((*above, part) if here else above)} {entries}")


def _enter(here: Any, path: KeyPath) -> Any:
    """The section or list at `path`, the last step of which leads down from `here`; made if it is not there."""
    below = here.get(path[-1]) if isinstance(here, dict) else here[path[-1]]
    if below is None:
        below = here[path[-1]] = {}
    if not isinstance(below, dict | list):
        raise RecipeError(f"--set: {dotted(path)} is a single value ({shown(below)}); it has no keys below it")
    return below
