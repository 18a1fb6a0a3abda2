"""CSV and TSV → rows: streaming, exact about quotes and newlines inside cells, any cell size.

The standard library's reader does the parsing. This module finds out how the file is written (delimiter, quoting,
header) and accounts for rows that do not fit the header.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pakar.errors import DataError
from pakar.prepare.frames import EXCERPT
from pakar.prepare.sources.headers import column_names, is_header, numbered
from pakar.prepare.sources.opening import LONGEST_LINE, DamagedError, TooLong, lines
from pakar.prepare.sources.rows import Broken, Row

_ANNOUNCEMENT = re.compile(r"sep=.\r?\n?")

SAMPLE_CHARACTERS = 1 << 20
SAMPLE_RECORDS = 500
LARGEST_CELL = 2**31 - 1
MOST_LINES_IN_UNCLOSED_QUOTE = 100
"""The last record may lack its closing quote; if it swallowed more lines than this, these are surely other records."""


class Dialect(NamedTuple):
    """How a table is written."""

    delimiter: str = ","
    quoted: bool = True
    """False: a quotation mark is a character like any other."""
    backslash: bool = False
    r"""Quotation marks inside quotes are written `\"` instead of `""`."""
    header: bool = True
    columns: tuple[str, ...] = ()


class _Cells(NamedTuple):
    line: int
    """Number of the record's last line."""
    cells: list[str]
    unclosed: bool
    """The file ended inside a quotation."""
    too_large: bool = False


def survey(path: Path, encoding: str, *, tabs: bool, wanted: Collection[str] = ()) -> Dialect:
    """Find out how the file is written.

    Args:
        path: The file.
        encoding: Its encoding.
        tabs: The file is said to be tab-separated. Otherwise the delimiter among , tab ; | that gives most rows the
            same number of cells is taken.
        wanted: Column names that the recipe speaks of.

    Raises:
        DataError: no row at all.
    """
    sample = _sample(path, encoding)
    delimiters = "\t" if tabs else ",\t;|"
    dialect = max(
        (Dialect(delimiter, backslash=b) for b in (False, True) for delimiter in delimiters),
        key=lambda d: _fit(sample, d),
    )
    if dialect.delimiter == "\t" and not dialect.backslash:
        dialect = dialect._replace(quoted=_tabs_are_quoted(path, encoding))
    first = next(
        (found.cells for found in _records(sample, dialect) if not found.too_large and _filled(found.cells, 2)), None
    )
    if first is None:
        raise DataError(f"{path} holds no rows, only blank lines", next_step="check how the file was written.")
    header = is_header(first, wanted)
    return dialect._replace(header=header, columns=column_names(first) if header else numbered(len(first)))


def read(path: Path, encoding: str, dialect: Dialect) -> Iterator[Row | Broken]:
    """Every record in order; blank lines are none, and neither is the header."""
    columns, width = dialect.columns, len(dialect.columns)
    header_due, offset, last_line = dialect.header, 0, 0
    for line, cells, unclosed, too_large in _records(_lines(path, encoding), dialect):
        first_line, last_line = last_line + 1, line
        if too_large:
            offset += 1
            yield _too_large(path, offset, cells[0], (first_line, line))
            continue
        if not _filled(cells, width):
            continue
        if header_due:
            header_due = False
            continue
        offset += 1
        if unclosed:
            yield _unclosed(path, offset, cells, (first_line, line), dialect)
        elif len(cells) == width:
            yield Row(offset, dict(zip(columns, cells, strict=True)))
        elif len(cells) > width and not any(cells[width:]):
            yield Row(offset, dict(zip(columns, cells[:width], strict=True)))
        else:
            plural = "" if len(cells) == 1 else "s"
            detail = f"{len(cells)} field{plural}, expected {width} (line {first_line})"
            yield Broken(offset, "unequal_row", detail, dialect.delimiter.join(cells))


def _unclosed(path: Path, offset: int, cells: list[str], span: tuple[int, int], dialect: Dialect) -> Broken:
    first, last = span
    detail = f"the quotation that opens in the record from line {first} never closes; the file ends with line {last}"
    if last - first >= MOST_LINES_IN_UNCLOSED_QUOTE:
        raise DataError(
            f"{path}: {detail}", next_step=f'close the quotation, or double the quotation mark (""), near line {first}.'
        )
    return Broken(offset, "unclosed_quote", detail, dialect.delimiter.join(cells))


def _too_large(path: Path, offset: int, text: str, span: tuple[int, int]) -> Broken:
    first, last = span
    if last - first >= MOST_LINES_IN_UNCLOSED_QUOTE:
        raise DataError(
            f"{path}: the record that begins in line {first} is longer than {LONGEST_LINE:,} characters and reaches "
            f"beyond line {last}; a quotation was opened there and not closed",
            next_step=f'close the quotation, or double the quotation mark (""), near line {first}.',
        )
    return Broken(offset, "too_large", f"longer than {LONGEST_LINE:,} characters (line {first})", text)


def _filled(cells: list[str], width: int) -> bool:
    """Not a blank line. In a table of one column a blank in quotes is a value."""
    return len(cells) > 1 or (len(cells) == 1 and (width == 1 or bool(cells[0].strip())))


def _records(source: Iterable[str], dialect: Dialect) -> Iterator[_Cells]:
    csv.field_size_limit(LARGEST_CELL)  # the default refuses cells over 131,072 characters
    feed = _Feed(source)
    reader = csv.reader(feed, **_options(dialect))
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except TooLargeError as error:
            yield _Cells(feed.line, [str(error)], unclosed=False, too_large=True)
        else:
            yield _Cells(feed.line, cells, unclosed=feed.ended)
        feed.characters = 0


class TooLargeError(Exception):
    """A record, or what seems to be one, does not fit into memory."""


class _Feed:
    """Lines for the parser, which goes on with a new record when one of them is refused."""

    def __init__(self, source: Iterable[str]) -> None:
        self._source = iter(source)
        self.line = 0
        self.characters = 0
        self.ended = False  # the parser asks for a line after the last one within a record only in an open quotation

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line = next(self._source, None)
        if line is None:
            self.ended = True
            raise StopIteration
        self.line += 1
        self.characters += len(line)
        if isinstance(line, TooLong) or self.characters > LONGEST_LINE:
            raise TooLargeError(line[:EXCERPT])
        return line


def _options(dialect: Dialect) -> dict[str, Any]:
    options: dict[str, Any] = {
        "delimiter": dialect.delimiter,
        "quoting": csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE,
    }
    return {**options, "escapechar": "\\", "doublequote": False} if dialect.backslash else options


def _lines(path: Path, encoding: str) -> Iterator[str]:
    """Lines of the file; the first line `sep=;` with which some programs announce the delimiter counts as blank."""
    for number, line in enumerate(lines(path, encoding)):
        yield "\n" if number == 0 and _ANNOUNCEMENT.fullmatch(line) else line


def _whole_lines(path: Path, encoding: str) -> Iterator[str]:
    """Of a damaged file the lines before the damage, which is told when the records are read."""
    with contextlib.suppress(DamagedError):
        yield from _lines(path, encoding)


def _sample(path: Path, encoding: str) -> list[str]:
    sample, characters = [], 0
    for line in _whole_lines(path, encoding):
        sample.append(line)
        characters += len(line)
        if characters >= SAMPLE_CHARACTERS:
            break
    return sample


def _fit(sample: list[str], dialect: Dialect) -> float:
    """Share of the first records that have as many cells as most of them, at least two; 0 if the first has only one."""
    records = itertools.islice(_records(sample, dialect), SAMPLE_RECORDS)
    widths = [
        len(found.cells) for found in records if not (found.unclosed or found.too_large) and _filled(found.cells, 2)
    ]
    if not widths or widths[0] < 2:
        return 0.0
    width, count = Counter(widths).most_common(1)[0]
    return count / len(widths) if width > 1 else 0.0


def _tabs_are_quoted(path: Path, encoding: str) -> bool:
    """Whether quotation marks in a tab-separated file enclose cells.

    Often they do not, and a lone mark would swallow the rows that follow it. They do not when some cell only begins
    with one and yet every line has the same number of cells. The whole file is looked at: the mark may come late.
    """
    widths: set[int] = set()
    lone_marks = False
    for line in _whole_lines(path, encoding):
        cells = line.rstrip("\r\n").split("\t")
        if _filled(cells, 2):
            widths.add(len(cells))
            lone_marks = lone_marks or any(cell.startswith('"') and not _is_enclosed(cell) for cell in cells)
    return not (lone_marks and len(widths) == 1)


def _is_enclosed(cell: str) -> bool:
    return len(cell) > 1 and cell.endswith('"') and '"' not in cell[1:-1].replace('""', "")
