"""Documents (HTML, Markdown, plain text, DOCX, PDF) → rows with one column `text`, a passage each.

    passages.py   headings and paragraphs → passages
    web.py        HTML, Markdown
    word.py       DOCX
    portable.py   PDF

A row's `source` is the file, its `part` the number of the passage, its `offset` the page (of PDF; else 1). What cannot
be read is rejected: `unsupported_file`, `binary_file`, `unreadable_file`, `too_large`, `no_text`, `outside_folder`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from pakar.prepare.sources.characters import marked
from pakar.prepare.sources.documents.passages import Block, passages
from pakar.prepare.sources.documents.refused import RefusedError
from pakar.prepare.sources.documents.web import html_blocks, markdown_blocks
from pakar.prepare.sources.formats import DOCUMENTS, ENDINGS, ending
from pakar.prepare.sources.opening import detect_encoding, head, is_compressed, open_bytes, whole_text
from pakar.prepare.sources.rows import Broken, Row

COLUMN = "text"
MOST_BYTES = 128 << 20
"""Of one document, unpacked if it is compressed."""

_BLANK_LINES = re.compile(r"\n[ \t\r\f\v]*\n\s*")


def read_document(path: Path, name: str, wanted_words: int, root: Path | None = None) -> Iterator[Row | Broken]:
    """The passages of a file, or why there are none. A file without a word makes one empty passage.

    Args:
        path: The file.
        name: Its name in the `source` column.
        wanted_words: About so many in a passage.
        root: Links that lead out of this folder are not followed.
    """
    part = 0
    try:
        _check(path, root)
        for part, passage in enumerate(passages(_blocks(path), wanted_words), 1):
            yield Row(passage.page, {COLUMN: passage.text}, name, part)
        if part == 0:
            yield Row(1, {COLUMN: ""}, name, 1)
    except RefusedError as error:
        yield Broken(1, error.reason, error.detail, "", part + 1, name)
    except MemoryError:
        raise
    except Exception as error:  # the libraries raise what they like at a broken file, and it is one of many
        detail = f"no readable {ending(path).upper()} document ({type(error).__name__}: {error})"
        yield Broken(1, "unreadable_file", detail, "", part + 1, name)


def _check(path: Path, root: Path | None) -> None:
    if root is not None and path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
        raise RefusedError("outside_folder", "a link that leads out of the folder is not followed")
    if ENDINGS.get(ending(path)) not in DOCUMENTS:
        raise RefusedError("unsupported_file", "of documents, .txt, .md, .html, .docx and .pdf files are read")
    if (size := path.stat().st_size) > MOST_BYTES:
        raise RefusedError("too_large", f"the file has {size:,} bytes; at most {MOST_BYTES:,} are read")


def _blocks(path: Path) -> Iterator[Block]:
    if path.stat().st_size == 0:
        return iter(())
    kind = ending(path)
    if kind == "docx":
        from pakar.prepare.sources.documents.word import word_blocks  # noqa: PLC0415 - slow to import, rarely needed

        return word_blocks(_bytes(path))
    if kind == "pdf":
        from pakar.prepare.sources.documents.portable import pdf_blocks  # noqa: PLC0415 - as above

        return pdf_blocks(_bytes(path))
    start = head(path, 8192)
    if b"\0" in start and marked(start) is None:
        raise RefusedError("binary_file", "the file holds zero bytes; it is no text")
    return _text_reader(kind)(_text(path))


def _text_reader(kind: str) -> Callable[[str], Iterator[Block]]:
    if kind in {"html", "htm", "xhtml"}:
        return html_blocks
    return markdown_blocks if kind in {"md", "markdown"} else plain_blocks


def plain_blocks(text: str) -> Iterator[Block]:
    """Paragraphs, parted by blank lines."""
    return (Block(part.rstrip()) for part in _BLANK_LINES.split(text) if part.strip())


def _bytes(path: Path) -> bytes:
    with open_bytes(path) as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise RefusedError("too_large", f"unpacks to more than {MOST_BYTES:,} bytes")
    return content


def _text(path: Path) -> str:
    if is_compressed(path):
        _bytes(path)  # checks the size
    return whole_text(path, detect_encoding(path)).removeprefix("\ufeff")
