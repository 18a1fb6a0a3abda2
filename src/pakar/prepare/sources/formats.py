"""What kind of file a path is: told from its ending, and from its first bytes where these know better."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Literal

from pakar.errors import DataError
from pakar.prepare.sources.characters import marked
from pakar.prepare.sources.chat import is_chat
from pakar.prepare.sources.opening import detect_encoding, head

Format = Literal[
    "csv", "tsv", "json", "jsonl", "parquet", "excel", "folder", "document", "text", "chat", "conll", "hub"
]

ENDINGS: dict[str, Format] = {
    "csv": "csv",
    "tsv": "tsv", "tab": "tsv",
    "json": "json",
    "jsonl": "jsonl", "ndjson": "jsonl",
    "parquet": "parquet", "pq": "parquet",
    "xlsx": "excel", "xlsm": "excel", "xlsb": "excel", "xls": "excel", "ods": "excel",
    "txt": "text", "text": "text", "md": "text", "markdown": "text", "rst": "text",
    "conll": "conll", "conllu": "conll",
    "html": "document", "htm": "document", "xhtml": "document", "docx": "document", "pdf": "document",
}  # fmt: skip
DOCUMENTS = ("text", "document")
"""Formats whose files are documents when they lie in a folder."""
COMPRESSED_ENDINGS = {".gz", ".zst", ".zstd", ".bz2", ".xz"}
LOOK_BYTES = 1 << 18

_REFUSED = (
    (b"{\\rtf", "a rich-text document", "save it as .txt."),
    (b"\x89PNG", "a picture", "a picture holds no text to train on."),
    (b"\xff\xd8\xff", "a picture", "a picture holds no text to train on."),
    (b"SQLite format 3", "an SQLite database", "export the table as CSV."),
    (b"Rar!", "a RAR archive", "unpack it and name the file inside."),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it and name the file inside."),
)


def ending(path: Path) -> str:
    """Lower-case ending without the dot and without a compression ending: `a.CSV.gz` → `csv`."""
    plain = path.with_suffix("") if path.suffix.lower() in COMPRESSED_ENDINGS else path
    return plain.suffix.lower().lstrip(".")


def recognise(path: Path) -> Format:
    """The format of a file or folder.

    Raises:
        DataError: empty file, archive, or a kind that is not read.
    """
    if path.is_dir():
        return "folder"
    start = head(path, LOOK_BYTES)
    named = ENDINGS.get(ending(path))
    if binary := _binary(path, start, named):
        return binary
    if marked(start) is None and b"\0" in start[:8192] and named is None:
        raise _unknown(path)
    text = _decoded(path, start)
    if named in {None, "text"} and is_chat(text.splitlines()[:-1] or [text]):
        return "chat"
    if text.lstrip()[:1] in {"{", "["} and named in {None, "json", "jsonl", "text"}:
        return _json_kind(text, named)
    return named or _delimited_kind(text)


def _binary(path: Path, start: bytes, named: Format | None) -> Format | None:
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"%PDF"):
        return "document"
    if start.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        if named == "excel" or b"xl/" in start or b"opendocument.spreadsheet" in start:
            return "excel"
        if named == "document" and start.startswith(b"PK"):
            return "document"
        raise DataError(
            f"{path} is an archive or an office document, not a table",
            next_step="unpack it, or save it as CSV or .txt.",
        )
    if start[257:262] == b"ustar":
        raise DataError(
            f"{path} is a tar archive",
            next_step=f"unpack it (`tar -xf {path.name}`) and name the file or folder inside.",
        )
    for magic, kind, advice in _REFUSED:
        if start.startswith(magic):
            raise DataError(f"{path} is {kind}", next_step=advice)
    return None


def _unknown(path: Path) -> DataError:
    known = "csv, tsv, json, jsonl, parquet, xlsx, txt, md, html, docx, pdf"
    return DataError(f"{path} is binary and of no kind that is read ({known})", next_step="save it as one of these.")


def _decoded(path: Path, start: bytes) -> str:
    return start.decode(detect_encoding(path), "replace").lstrip("\ufeff")


def _json_kind(text: str, named: Format | None) -> Format:
    """JSON Lines when lines are JSON values of their own, whatever the name says.

    The last line seen is left out: it may be cut by the end of the look.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    complete = lines[:-1][:20]
    if not complete:
        return _json_kind_of_one_line(text, named)
    share = sum(map(_is_json_record, complete)) / len(complete)
    if share >= 0.5:
        return "jsonl"
    if named == "text":
        return "text"
    return "jsonl" if named == "jsonl" and share > 0 else "json"


def _json_kind_of_one_line(text: str, named: Format | None) -> Format:
    if named == "text":
        return "json" if _is_json_record(text) else "text"
    return "jsonl" if named == "jsonl" and text.lstrip().startswith("{") else "json"


def _is_json_record(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _delimited_kind(text: str) -> Format:
    """For files without a telling ending: a table if every line has the same number of tabs or commas, else text."""
    lines = text.splitlines()[:-1][:200]
    if len(lines) < 2:
        return "text"
    for delimiter, kind in (("\t", "tsv"), (",", "csv"), (";", "csv")):
        counts = {len(cells) for cells in csv.reader(lines, delimiter=delimiter) if cells}
        if len(counts) == 1 and counts != {1}:
            return "tsv" if kind == "tsv" else "csv"
    return "text"
