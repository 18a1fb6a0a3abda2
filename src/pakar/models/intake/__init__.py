"""Look at a model's directory before any library reads it.

A model comes from strangers. Its weights may be pickled (and run code when read), its configuration may name code to
fetch, its chat template is a program. Everything that a loader would read is read here first, by parsers that only
look; whatever is not known to be harmless is refused, all at once, with file, key, value and what was expected.
What is checked, and which published cases it answers: docs/model-intake.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from pathlib import Path

from pakar.errors import UserError
from pakar.models.intake import adapter, chat, configs, layout, named_code, weights
from pakar.models.intake.configs import generation_values as generation
from pakar.models.intake.finding import Finding
from pakar.models.intake.layout import WEIGHTS, fetched, has_weights, is_whole, opened_files, read_files

__all__ = [
    "NAMES_OF_CODE", "WEIGHTS", "Finding", "fetched", "findings", "generation", "has_weights", "is_whole", "read_files",
    "refuse",
    "refuse_configuration", "refuse_tokenizer", "state",
]  # fmt: skip

_Names = tuple[str, ...]

_SHOWN = 20
"""Most findings that are told; the number of all is always told."""

_TRUSTED = "get the model from a source you trust, as safetensors without code of its own, or name another."
_WITHOUT_CODE = (
    "if transformers has the architecture built in, give a copy of the directory without Python files, in which the key "
    "auto_map is taken out of the JSON files; else name another model."
)

NAMES_OF_CODE = named_code.KEY
"""Key of config.json that no library may see: classes in files that come with a model."""


def findings(directory: Path, *, base: Collection[str] | None = None) -> list[Finding]:
    """Everything about a model directory that is not known to be harmless; empty: it may be loaded.

    Args:
        directory: A model or an adapter in Hugging Face layout, or a snapshot in the hub's cache.
        base: Of an adapter: the names of the base model that it will be put on. None: a model is expected.
    """
    names = None if base is None else tuple(base)
    return [*_looked_at(_all, directory, names, state(directory))]


def refuse(
    directory: Path, what: str, *, base: Collection[str] | None = None, error: type[UserError] = UserError
) -> None:
    """Raise unless the directory may be loaded.

    Args:
        directory: See `findings`.
        what: Names it to the user: a recipe key with its value, or "the tuned model".
        base: See `findings`.
        error: What is raised.

    Raises:
        UserError: listing all findings.
    """
    _tell(directory, what, findings(directory, base=base), error)


def refuse_tokenizer(directory: Path, what: str) -> None:
    """The same for a directory of which only tokenizer and chat template are used, with or without weights beside them.

    Raises:
        UserError: listing all findings.
    """
    _tell(directory, what, [*_looked_at(_tokenizer, directory, None, state(directory))], UserError)


def refuse_configuration(directory: Path, what: str, *, error: type[UserError] = UserError) -> None:
    """The same for a directory of which only config.json is read, with or without anything beside it.

    Raises:
        UserError: listing all findings.
    """
    _tell(directory, what, [*_looked_at(_configuration, directory, None, state(directory))], error)


def _tell(directory: Path, what: str, found: list[Finding], error: type[UserError]) -> None:
    if not found:
        return
    listed = "".join(f"\n  - {finding}" for finding in found[:_SHOWN])
    more = f"\n  - and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    says_code = any(finding.key.partition(".")[0] == NAMES_OF_CODE for finding in found)
    raise error(
        f"{what} is not loaded, for what was found in {directory}; nothing of it was run:{listed}{more}",
        next_step=_WITHOUT_CODE if says_code else _TRUSTED,
    )


@lru_cache(maxsize=16)
def _looked_at(
    look: Callable[[Path, _Names | None], Iterator[Finding]], directory: Path, base: _Names | None, _state: object
) -> tuple[Finding, ...]:
    """Stages of one process look for the same model again and again; it is read once unless a file changes."""
    return tuple(look(directory, base))


def state(directory: Path) -> tuple[object, ...]:
    """Changes whenever one of the files that are read does, or a Python file comes or goes."""
    scripts = tuple(sorted(directory.glob("*.py")))
    there = [(path, (path.lstat(), path.stat() if path.exists() else path.lstat())) for path in opened_files(directory)]
    states = [(path, *((s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in both)) for path, both in there]
    return scripts, *states


def _all(directory: Path, base: _Names | None) -> Iterator[Finding]:
    # 1. Which files are there, and do they lie where they seem to lie?
    unsafe = [*layout.findings(directory, adapter=base is not None)]
    yield from unsafe
    if unsafe:
        return  # what lies elsewhere, or is no plain file, is not even opened
    # 2. Weights: the headers alone
    tensors, wrong = weights.look(directory, adapter=base is not None)
    yield from wrong
    # 3. Configurations
    if base is not None:
        yield from adapter.findings(directory, base, tensors)
    else:
        yield from configs.model(directory, tensors)
        yield from configs.generation(directory)
    yield from configs.tokenizer(directory)
    # 4. Chat templates
    yield from chat.findings(directory)


def _configuration(directory: Path, _: _Names | None) -> Iterator[Finding]:
    unsafe = [*layout.misplaced(directory)]
    yield from unsafe or configs.model(directory, {})


def _tokenizer(directory: Path, _: _Names | None) -> Iterator[Finding]:
    unsafe = [*layout.misplaced(directory)]
    yield from unsafe
    if unsafe:
        return
    if (directory / "config.json").exists():  # tells which class of tokenizer to take
        yield from configs.model(directory, {})
    yield from configs.tokenizer(directory)
    yield from chat.findings(directory)
