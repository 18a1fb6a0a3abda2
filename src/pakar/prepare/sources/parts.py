"""Folders and patterns → the files they stand for.

A folder or pattern stands for the part files of one table, as Spark and the dataset hubs write them, or for documents.
Passed over: hidden files, files and folders that begin with `_` (`_SUCCESS`, `_temporary`), check sums (`.crc`), and
files of zero bytes, which stand for empty partitions of a table.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pakar.errors import DataError
from pakar.prepare.sources.formats import DOCUMENTS, ENDINGS, ending, recognise
from pakar.prepare.sources.opening import existing

TABLES = ("csv", "tsv", "json", "jsonl", "parquet", "excel")
BESIDE_DATA = re.compile(r"(readme|licen[cs]e|notice|changelog|citation|dataset_infos?)\b.*", re.IGNORECASE)
"""Files that describe a dataset and are no part of it."""


class Parts(NamedTuple):
    """The files behind a folder or pattern."""

    root: Path
    """Folder below which all of them lie; names in the `source` column are relative to it."""
    files: tuple[Path, ...]
    """In the order of their names."""
    documents: bool
    """They are documents to be cut into passages, not parts of a table."""


def is_pattern(path: str) -> bool:
    """Whether `path` stands for several files: it holds `*`, `?` or `[`, and no file has just this name."""
    return glob.has_magic(path) and not os.path.lexists(path)


def find(path: str, declared: str = "auto") -> Parts | None:
    """The files that `path` stands for; None if it is a single file.

    Args:
        path: File, folder, or pattern (`*`, `?`, `[…]` inside a name; `**` for any folders).
        declared: `format` of the recipe.

    Raises:
        DataError: nothing there, or files of several kinds.
    """
    if is_pattern(path):
        root = _fixed_part(path)
        return _sorted_out(path, root, _matches(path, root), declared)
    here = existing(Path(path))
    return _sorted_out(path, here, list(_below(here)), declared) if here.is_dir() else None


def root_of(path: str) -> Path | None:
    """The folder that names in the `source` column are relative to; None of a single file."""
    if is_pattern(path):
        return _fixed_part(path)
    return Path(path) if Path(path).is_dir() else None


def _fixed_part(pattern: str) -> Path:
    parts = Path(pattern).parts
    magic = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:magic])


def _matches(pattern: str, root: Path) -> list[Path]:
    """Files that match, and all files below the folders that match."""
    relative = str(Path(pattern).relative_to(root))
    found: set[Path] = set()
    for path in root.glob(relative):
        if not _is_passed_over(path.relative_to(root).parts, relative):
            found.update(_below(path) if path.is_dir() else [path] if path.is_file() else [])
    if not found:
        seen = ", ".join(path.relative_to(root).as_posix() for path in _first(_below(root), 5))
        raise DataError(
            f"no file matches {pattern}",
            next_step=f"{root} holds {seen}." if seen else f"there are no files in {root}.",
        )
    return sorted(found)


def _first(paths: Iterable[Path], count: int) -> list[Path]:
    return [path for path, _ in zip(paths, range(count), strict=False)]


def _below(folder: Path) -> Iterator[Path]:
    """Every file below `folder`, folder by folder; links to folders are not followed."""
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_passed_over([name]))
        for name in sorted(names):
            path = Path(here) / name
            if not _is_passed_over([name]) and path.is_file():
                yield path


def _is_passed_over(names: Sequence[str], pattern: str = "") -> bool:
    """Whether one of the `names` on the way marks something that is no data, and the pattern does not ask for it."""
    asked = tuple(name for name in Path(pattern).parts if name.startswith(("_", ".")))
    return any(
        name.endswith(".crc")
        or (name.startswith(("_", ".")) and not any(fnmatch.fnmatch(name, wanted) for wanted in asked))
        for name in names
    )


def _sorted_out(path: str, root: Path, found: list[Path], declared: str) -> Parts:
    if not found and declared in {"auto", "folder"}:
        raise DataError(
            f"the folder {path} holds no files",
            next_step="name a folder with .txt, .md, .html, .docx or .pdf files, or a data file.",
        )
    found.sort()
    if declared == "folder" or (declared == "auto" and _holds_documents(found)):
        return Parts(root, tuple(found), documents=True)
    files = _declared(path, found, declared) if declared != "auto" else _of_one_kind(path, root, found)
    return Parts(root, tuple(_filled(path, files)), documents=False)


def _holds_documents(found: Sequence[Path]) -> bool:
    """Whether any file is a document; beside tables, a README is none."""
    documents = [path for path in found if _kind(path) == "documents"]
    if not any(_kind(path) in TABLES for path in found):
        return bool(documents)
    return any(not BESIDE_DATA.fullmatch(path.name) for path in documents)


def _kind(path: Path) -> str:
    """`documents`, a kind of table, or empty; both spellings of JSON count as one."""
    known = ENDINGS.get(ending(path), "")
    if known in DOCUMENTS:
        return "documents"
    return "json" if known == "jsonl" else known


def _declared(path: str, found: Sequence[Path], declared: str) -> list[Path]:
    wanted = "documents" if declared in DOCUMENTS else "json" if declared == "jsonl" else declared
    files = [one for one in found if _kind(one) == wanted] or [one for one in found if not _kind(one)]
    if not files:
        raise DataError(
            f"{path} is a folder, but the recipe says `format: {declared}`, and no file in it is of this kind",
            next_step="leave `format` out.",
        )
    return files


def _of_one_kind(path: str, root: Path, found: Sequence[Path]) -> list[Path]:
    kinds = defaultdict(list)
    for one in [one for one in found if not BESIDE_DATA.fullmatch(one.name)] or found:
        kinds[_kind(one)].append(one)
    nameless = kinds.pop("", [])
    if not kinds:
        return _nameless(path, root, nameless)
    if len(kinds) > 1:
        listed = "; ".join(
            f"{len(members):,} {kind} ({members[0].relative_to(root)})" for kind, members in kinds.items()
        )
        some = next(iter(kinds.values()))[0]
        raise DataError(
            f"{path} holds data files of several kinds: {listed}",
            next_step=f"name each kind as a source of its own, for example {root / '**' / ('*' + some.suffix)}.",
        )
    return next(iter(kinds.values()))


def _nameless(path: str, root: Path, files: list[Path]) -> list[Path]:
    """Part files without a telling ending (`part-00000`), if the first one is a table."""
    filled = _filled(path, files)
    if recognise(filled[0]) not in TABLES:
        names = ", ".join(str(one.relative_to(root)) for one in files[:5])
        more = " and more" if len(files) > 5 else ""
        raise DataError(
            f"{path} holds no data files and no .txt, .md, .html, .docx or .pdf files; it holds {names}{more}",
            next_step="convert them to one of these, or name a data file itself.",
        )
    return files


def _filled(path: str, files: Sequence[Path]) -> list[Path]:
    filled = [one for one in files if one.stat().st_size > 0]
    if not filled:
        raise DataError(f"all data files of {path} are empty (0 bytes)", next_step="check how they were written.")
    return filled
