"""Word documents (DOCX) → headings and paragraphs. A DOCX file is a ZIP archive of XML, so its size is checked first."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator

import docx
from docx.table import Table
from docx.text.paragraph import Paragraph

from pakar.prepare.sources.documents.passages import Block
from pakar.prepare.sources.documents.refused import RefusedError

MOST_UNPACKED_BYTES = 256 << 20
MOST_MEMBERS = 10_000

_HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)


def word_blocks(content: bytes) -> Iterator[Block]:
    """Headings, paragraphs, lists and tables in order; headers, footers, comments and pictures are left out.

    Raises:
        RefusedError: the archive would unpack to more than fits; told from the archive's directory, before anything is unpacked.
        Exception: whatever the libraries make of a broken file.
    """
    _check_size(content)
    gathered: list[str] = []
    for item in docx.Document(io.BytesIO(content)).iter_inner_content():
        if isinstance(item, Paragraph) and _is_item(item):
            gathered.append(f"- {item.text.strip()}")
            continue
        if gathered:
            yield Block("\n".join(gathered))
            gathered = []
        yield from [_table(item)] if isinstance(item, Table) else _paragraph(item)
    if gathered:
        yield Block("\n".join(gathered))


def _check_size(content: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
    size = sum(member.file_size for member in members)
    if size > MOST_UNPACKED_BYTES or len(members) > MOST_MEMBERS:
        raise RefusedError("too_large", f"unpacks to {len(members):,} parts of {size:,} bytes in all")


def _paragraph(paragraph: Paragraph) -> Iterator[Block]:
    text = paragraph.text.strip()
    style = _style(paragraph)
    heading = _HEADING.fullmatch(style)
    if text:
        level = int(heading[1]) + 1 if heading else 1 if style.lower() == "title" else 0
        yield Block(" ".join(text.split()) if level else text, level)


def _style(paragraph: Paragraph) -> str:
    return (paragraph.style.name or "") if paragraph.style is not None else ""


def _is_item(paragraph: Paragraph) -> bool:
    """Part of a list, by its style or by its own numbering; numbered headings are none."""
    style = _style(paragraph)
    properties = paragraph._p.pPr
    numbered = properties is not None and properties.numPr is not None
    return bool(paragraph.text.strip()) and not _HEADING.fullmatch(style) and (numbered or style.startswith("List"))


def _table(table: Table) -> Block:
    rows = []
    for row in table.rows:
        cells: list[str] = []
        previous = None
        for cell in row.cells:  # a cell that spans several columns comes several times
            if cell._tc is not previous:
                cells.append(" ".join(cell.text.split()))
            previous = cell._tc
        rows.append(" | ".join(cells))
    return Block("\n".join(row for row in rows if row.strip(" |")))
