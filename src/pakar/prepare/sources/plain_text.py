"""Running text → rows with one column `text`.

A single file is cut where the writer cut it, because a whole book as one record could be neither split nor fitted into
a model's context:

* nearly all lines are long (200 characters and more): one record per line, as in dumps with one document a line;
* else one record per passage: paragraphs (parted by blank lines) are gathered up to 2,000 characters, and a paragraph
  is never cut. So a file of up to 2,000 characters is one record;
* HTML is one record: its tags reach over lines.

In a folder every file is one record.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pakar.errors import DataError
from pakar.prepare.sources.characters import marked
from pakar.prepare.sources.formats import ENDINGS, ending
from pakar.prepare.sources.opening import detect_encoding, head, lines, whole_text
from pakar.prepare.sources.rows import Broken, Row

COLUMN = "text"
LONG_LINE = 200
MOSTLY = 0.9
PASSAGE_CHARACTERS = 2_000
SAMPLE_LINES = 1_000
HTML = {"html", "htm"}


def read_text(path: Path, encoding: str) -> Iterator[Row]:
    """The records of a single file; the offset is the number of a record's first line."""
    if ending(path) in HTML:
        yield Row(1, {COLUMN: whole_text(path, encoding)})
    elif _has_document_lines(path, encoding):
        for number, line in enumerate(lines(path, encoding, "\n"), 1):
            if not line.isspace():
                yield Row(number, {COLUMN: line.rstrip("\r\n")})
    else:
        yield from _passages(path, encoding)


def _has_document_lines(path: Path, encoding: str) -> bool:
    lengths = []
    for line in lines(path, encoding, "\n"):
        if not line.isspace():
            lengths.append(len(line))
        if len(lengths) == SAMPLE_LINES:
            break
    return len(lengths) > 1 and sum(length >= LONG_LINE for length in lengths) >= MOSTLY * len(lengths)


def _passages(path: Path, encoding: str) -> Iterator[Row]:
    passage, start = "", 1
    for number, paragraph in _paragraphs(path, encoding):
        if passage and len(passage) + len(paragraph) > PASSAGE_CHARACTERS:
            yield Row(start, {COLUMN: passage})
            passage = ""
        if not passage:
            start = number
        passage = f"{passage}\n\n{paragraph}" if passage else paragraph
    if passage:
        yield Row(start, {COLUMN: passage})


def _paragraphs(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Number of the first line, and the paragraph without its last line end."""
    gathered: list[str] = []
    for number, line in enumerate(lines(path, encoding, "\n"), 1):
        if not line.isspace():
            gathered.append(line)
        elif gathered:
            yield number - len(gathered), "".join(gathered).rstrip("\r\n")
            gathered = []
    if gathered:
        yield number + 1 - len(gathered), "".join(gathered).rstrip("\r\n")


def files_of(folder: Path) -> list[Path]:
    """All files below `folder` in the order of their names; hidden ones are not looked at.

    Raises:
        DataError: no file there, or none with text: then the error names the data files that are there.
    """
    found = sorted(
        p
        for p in folder.rglob("*")
        if p.is_file() and not any(part.startswith(".") for part in p.relative_to(folder).parts)
    )
    if not found:
        raise DataError(
            f"the folder {folder} holds no files",
            next_step="name a folder with .txt, .md or .html files, or a data file.",
        )
    if not any(map(_is_text, found)):
        tables = [p for p in found if ENDINGS.get(ending(p))]
        names = ", ".join(str(p.relative_to(folder)) for p in (tables or found)[:5])
        example = f"for example {tables[0]}" if tables else "or convert them to .txt"
        more = " and more" if len(found) > 5 else ""
        raise DataError(
            f"the folder {folder} holds no .txt, .md or .html files; it holds {names}{more}",
            next_step=f"a folder is read as texts; name a data file itself, {example}.",
        )
    return found


def read_folder(folder: Path) -> Iterator[Row | Broken]:
    """One record per file, with the path inside the folder as its source."""
    for path in files_of(folder):
        yield _file_record(path, path.relative_to(folder).as_posix())


def _file_record(path: Path, name: str) -> Row | Broken:
    if not _is_text(path):
        return Broken(1, "unsupported_file", "in a folder only .txt, .md and .html files are read", "", source=name)
    try:
        if path.stat().st_size == 0:
            return Row(1, {COLUMN: ""}, name)
        start = head(path, 8192)
        if b"\0" in start and marked(start) is None:
            return Broken(1, "binary_file", "the file holds zero bytes; it is no text", "", source=name)
        return Row(1, {COLUMN: whole_text(path, detect_encoding(path))}, name)
    except (DataError, OSError) as error:
        return Broken(1, "unreadable_file", getattr(error, "what", str(error)), "", source=name)


def _is_text(path: Path) -> bool:
    return ENDINGS.get(ending(path)) == "text"
