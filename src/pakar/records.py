"""What is finished, and what it was made from: the records that stages leave in their directories.

`stage.json` is written last and holds the fingerprints of all that went in and came out. `started.json` holds the inputs
while a stage runs, so that an interrupted one knows whether what it finds was made from the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pakar import files, progress

StageName = Literal["base", "prepare", "train", "evaluate"]
STAGES: tuple[StageName, ...] = ("prepare", "train", "evaluate")
"""Of every run; one that pre-trains makes its base first."""

_CHANGING = ("checkpoints/", "mlflow/", "tensorboard/")
_READ_BY_LIBRARIES = (".jinja", ".json", ".model", ".safetensors", ".txt")
_SHARED_CODE = ("conversation.py", "examples.py", "models", "recipe", "shards.py", "text.py")
_STAGE_CODE: dict[StageName, tuple[str, ...]] = {
    "base": ("prepare/scratch", "prepare/sources", "prepare/operators/shares.py", *_SHARED_CODE),
    "prepare": ("prepare", *_SHARED_CODE),
    "train": ("train", *_SHARED_CODE),
    "evaluate": ("evaluate", "engine", "metrics", *_SHARED_CODE),
}


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Names of the inputs that are not the same."""
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def read_record(path: Path) -> dict[str, Any] | None:
    """A stage's record, or None if there is none that can be read: then the stage has not finished."""
    record = files.read_json_if_whole(path)
    if record is not None and {"inputs", "outputs", "files"} <= record.keys():
        return record
    if path.exists():
        progress.warn(f"{path} cannot be read; the stage counts as unfinished")
    return None


def fingerprints(directory: Path) -> dict[str, str]:
    """SHA-256 of every file that a stage leaves for others; checkpoints may be deleted, and trackers' programs write on."""
    found = (path for path in sorted(directory.rglob("*")) if path.is_file() and path.name != "started.json")
    named = ((path.relative_to(directory).as_posix(), path) for path in found)
    return {name: files.sha256(path) for name, path in named if not name.startswith(_CHANGING)}


def harmed(directory: Path, recorded: Mapping[str, str]) -> list[str]:
    """Files that are gone or hold something else than when the stage finished; three at most.

    Only files written after the record are read again: large models would take long.
    """
    finished = (directory / "stage.json").stat().st_mtime_ns

    def is_whole(name: str, sha256: str) -> bool:
        path = directory / name
        return path.is_file() and (path.stat().st_mtime_ns <= finished or files.sha256(path) == sha256)

    return [f"{directory.name}/{name}" for name, sha256 in recorded.items() if not is_whole(name, sha256)][:3]


def added(directory: Path, recorded: Mapping[str, str], folder: str) -> list[str]:
    """Files in one folder of a stage that were not there when it finished, of the kinds that model libraries read."""
    found = (path for path in sorted((directory / folder).rglob("*")) if path.suffix in _READ_BY_LIBRARIES)
    names = (path.relative_to(directory).as_posix() for path in found)
    return [f"{directory.name}/{name}" for name in names if name not in recorded]


def open_stage(directory: Path, inputs: Mapping[str, str], *, keep: bool = False) -> bool:
    """Make the stage's directory ready; True if it holds unfinished work from the same inputs.

    With `keep`, unfinished work stays whatever it was made from: the stage itself knows what it can be gone on with from.
    """
    started = directory / "started.json"
    finished = (directory / "stage.json").exists()
    before = files.read_json_if_whole(started) if not finished else None
    if before == inputs or (keep and not finished and directory.exists()):
        return True
    if before is not None:
        progress.note(
            f"{directory.name}: unfinished work is thrown away, because {', '.join(differences(before, inputs))} changed"
        )
    files.remove(directory)  # at once, with the record: a half-removed stage must never look finished, or unfinished
    files.write_json(started, dict(inputs))
    return False


def discard_unfinished(directory: Path) -> bool:
    """Throw away what an unfinished stage left, and put back the finished one from before it; True if there was something."""
    unfinished = directory.exists() and not (directory / "stage.json").exists()
    if unfinished:
        files.remove(directory)
        put_back(directory)
    return unfinished


def earlier(directory: Path) -> Path:
    """Where a finished stage waits while it is made again."""
    return directory.with_name(f"{directory.name}.before")


def set_aside(directory: Path) -> None:
    """Keep a finished stage until the one that is to take its place has finished."""
    if not (directory / "stage.json").exists():
        return
    directory.rename(earlier(directory))
    progress.note(f"{directory.name}: the finished one is kept in {earlier(directory)} until the new one has finished")


def put_back(directory: Path) -> None:
    """Give a finished stage that was set aside its place again, which what was made instead leaves."""
    if earlier(directory).exists():
        files.remove(directory)
        earlier(directory).rename(directory)
        progress.note(f"{directory.name}: the finished one from before is in its place again")


def tidy(directory: Path, saves: Path) -> None:
    """Decide about a finished stage that was set aside when a process was killed: put it back, unless something has been saved since."""
    if (directory / "stage.json").exists():
        files.remove(earlier(directory))
    elif not has_saved(saves):
        put_back(directory)


def has_saved(saves: Path) -> bool:
    """Whether a stage has left something that it can be gone on with from."""
    return any(saves.glob("[!.]*"))


def code_fingerprint(stage: StageName) -> str:
    """SHA-256 over the source files that decide what a stage writes."""
    package = Path(__file__).parent
    roots = [package / part for part in _STAGE_CODE[stage]]
    sources = [p for root in roots for p in (root.rglob("*.py") if root.is_dir() else [root])]
    return files.tree_sha256(sources, package)


def flattened(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name → value, as `--set` writes it."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{before}{name}.")
        else:
            yield before + name, value
