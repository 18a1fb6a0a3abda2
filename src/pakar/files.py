"""Writing files so that a reader sees the whole file or none: also after `kill -9` or a power cut."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pakar.errors import UserError, is_disk_full


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; when the block ends well, its file takes the place of `path` atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` atomically as UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write `value` atomically as readable JSON. NaN and infinity are refused: they are not JSON."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON value in `path`."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_json_if_whole(path: Path) -> dict[str, Any] | None:
    """The JSON object in `path`; None if there is no file, or it holds something else."""
    try:
        value = read_json(path)
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def write_json_lines(path: Path, rows: Iterable[object]) -> None:
    """Write one JSON value a line, atomically."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def read_json_lines(path: Path) -> list[Any]:
    """All complete lines of a JSON Lines file; a last line without its line end was cut off by a crash and is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines if line]


def sync(path: Path) -> None:
    """Force a file or directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(directory: Path) -> None:
    """Force every file below `directory`, and the directories themselves, to the disk."""
    for path in [*directory.rglob("*"), directory]:
        sync(path)


def remove(path: Path) -> None:
    """Remove a file or a whole directory, if it is there. A directory goes at once or not at all, as far as readers can tell."""
    if path.is_dir() and not path.is_symlink():
        temporary = path.with_name(f".{path.name.strip('.')}.{uuid.uuid4().hex[:8]}.tmp")
        path.rename(temporary)
        shutil.rmtree(temporary)
    else:
        path.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_sha256(paths: Iterable[Path], root: Path) -> str:
    """SHA-256 over the names (relative to `root`) and bytes of `paths`, whatever order they come in."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.relative_to(root).as_posix()}\0{sha256(path)}\n".encode())
    return digest.hexdigest()


@contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """A temporary directory; when the block ends well, it takes the place of `path` in one rename.

    A directory that is there and empty stays, and is filled: it may be a mount point, or be somebody's working directory.
    Then the files are made inside it and moved up at the end, and only each of them appears at once.

    Raises:
        UserError: nothing can be written there.
    """
    inside = path.is_dir() and not any(path.iterdir())
    temporary = (path if inside else path.parent) / f".{path.name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    except OSError as error:
        if is_disk_full(error):
            raise
        reason = "a file is in the way" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror
        raise UserError(f"cannot write {path}: {reason}", next_step="name a place that can be written.") from None
    try:
        yield temporary
        sync_tree(temporary)
        if inside:
            for made in sorted(temporary.iterdir()):
                made.replace(path / made.name)
            temporary.rmdir()
            sync(path)
        else:
            remove(path)
            temporary.replace(path)
            sync(path.parent)
    finally:
        remove(temporary)


def sweep(directory: Path) -> None:
    """Remove temporary files and directories that a killed process left behind anywhere below `directory`."""
    for path in list(directory.rglob(".*.tmp")):
        remove(path)
