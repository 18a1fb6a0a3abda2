"""PDF documents → paragraphs with page numbers. Only the text layer is read; scanned pages have none."""

from __future__ import annotations

import io
import itertools
import logging
import re
from collections import Counter
from collections.abc import Iterator

from pypdf import PdfReader

from pakar.prepare.sources.documents.passages import Block
from pakar.prepare.sources.documents.refused import RefusedError

MOST_PAGES = 20_000
RUNNING_SHARE = 0.5
"""A first or last line that stands on a larger share of the pages is a running header or footer."""
SHORT_LINE = 0.75
"""Of the usual length; a shorter line that ends a sentence ends its paragraph."""

_NUMBER = re.compile(r"\d+")
_SENTENCE_END = re.compile(r"[.!?:。！？][\"'”’)\]]*$")  # noqa: RUF001


def pdf_blocks(content: bytes) -> Iterator[Block]:
    """Paragraphs in order, each with the number of its page.

    Raises:
        RefusedError: there is no text layer, or the file cannot be opened without a password.
        Exception: whatever the library makes of a broken file.
    """
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it tells every oddity of a file
    reader = PdfReader(io.BytesIO(content))
    if reader.is_encrypted and not reader.decrypt(""):
        raise RefusedError("unreadable_file", "the file is encrypted; save a copy without a password")
    pages = [
        [line.strip() for line in page.extract_text().splitlines()]
        for page in itertools.islice(reader.pages, MOST_PAGES)
    ]
    if not any(any(lines) for lines in pages):
        raise RefusedError(
            "no_text", "the pages hold no text, only pictures; a program such as ocrmypdf can add the text"
        )
    running = _running_lines(pages)
    for number, lines in enumerate(pages, 1):
        for paragraph in _paragraphs(_without_running(lines, running)):
            yield Block(paragraph, page=number)


def _shape(line: str) -> str:
    return _NUMBER.sub("#", line)


def _edges(lines: list[str]) -> set[str]:
    filled = [line for line in lines if line]
    return {_shape(line) for line in (*filled[:1], *filled[-1:])}


def _running_lines(pages: list[list[str]]) -> set[str]:
    counts = Counter(itertools.chain.from_iterable(map(_edges, pages)))
    return {line for line, count in counts.items() if count >= 3 and count > RUNNING_SHARE * len(pages)}


def _without_running(lines: list[str], running: set[str]) -> list[str]:
    filled = [line for line in lines if line]
    if filled and _shape(filled[0]) in running:
        lines = lines[lines.index(filled[0]) + 1 :]
    if len(filled) > 1 and _shape(filled[-1]) in running:
        lines = lines[: len(lines) - 1 - lines[::-1].index(filled[-1])]
    return lines


def _paragraphs(lines: list[str]) -> Iterator[str]:
    """Paragraphs end at blank lines, and after a short line that ends a sentence."""
    lengths = sorted(len(line) for line in lines if line)
    usual = lengths[len(lengths) * 3 // 4] if lengths else 0
    gathered = ""
    for line in lines:
        if not line and gathered:
            yield gathered
            gathered = ""
        elif line:
            gathered = _joined(gathered, line)
            if len(line) < SHORT_LINE * usual and _SENTENCE_END.search(line):
                yield gathered
                gathered = ""
    if gathered:
        yield gathered


def _joined(before: str, line: str) -> str:
    """A word that was parted at the end of the line is put together again."""
    if before.endswith("-") and before[-2:-1].isalpha() and line[:1].islower():
        return before[:-1] + line
    return f"{before} {line}" if before else line
