"""Running text → rows with one column `text`.

A single file is cut where the writer cut it, because a whole book as one record could be neither split nor fitted into
a model's context:

* nearly all lines are long (200 characters and more): one record per line, as in dumps with one document a line;
* else one record per passage: paragraphs (parted by blank lines) are gathered up to 2,000 characters, and a paragraph
  is cut only if it is longer than a million. So a file of up to 2,000 characters is one record.

Files in a folder are read as documents instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pakar.prepare.sources.opening import LONGEST_LINE, TooLong, lines
from pakar.prepare.sources.rows import Broken, Row

COLUMN = "text"
LONG_LINE = 200
MOSTLY = 0.9
PASSAGE_CHARACTERS = 2_000
SAMPLE_LINES = 1_000
LONGEST_PARAGRAPH = 1_000_000
"""Characters; a log without blank lines is cut there between lines."""


def read_text(path: Path, encoding: str) -> Iterator[Row | Broken]:
    """The records of a single file; the offset is the number of a record's first line."""
    if _has_document_lines(path, encoding):
        for number, line in enumerate(lines(path, encoding, "\n"), 1):
            if isinstance(line, TooLong):
                yield _too_large(number, line)
            elif not line.isspace():
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


def _too_large(number: int, line: str) -> Broken:
    return Broken(number, "too_large", f"line {number} is longer than {LONGEST_LINE:,} characters", line)


def _passages(path: Path, encoding: str) -> Iterator[Row | Broken]:
    passage, start = "", 1
    for number, paragraph in _paragraphs(path, encoding):
        if isinstance(paragraph, TooLong):
            yield _too_large(number, paragraph)
            continue
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
    characters = 0
    for number, line in enumerate(lines(path, encoding, "\n"), 1):
        stands_alone = line.isspace() or isinstance(line, TooLong)
        if gathered and (stands_alone or characters + len(line) > LONGEST_PARAGRAPH):
            yield number - len(gathered), "".join(gathered).rstrip("\r\n")
            gathered, characters = [], 0
        if isinstance(line, TooLong):
            yield number, line
        elif not stands_alone:
            gathered.append(line)
            characters += len(line)
    if gathered:
        yield number + 1 - len(gathered), "".join(gathered).rstrip("\r\n")
