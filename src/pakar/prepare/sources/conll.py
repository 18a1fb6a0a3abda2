"""CoNLL files → rows with one column `text`: the tokens of a sentence, with spaces between them.

One token a line with its tags beside it, an empty line after every sentence. The token is the first column; in CoNLL-U,
whose first column is a number, the second, and the sentence's own `# text = …` is used where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from pakar.prepare.sources.opening import LONGEST_LINE, TooLong, lines
from pakar.prepare.sources.plain_text import COLUMN
from pakar.prepare.sources.rows import Broken, Row

UNIVERSAL_COLUMNS = 10
_TEXT = "# text = "
_DOCUMENT = "-DOCSTART-"


def read_conll(path: Path, encoding: str) -> Iterator[Row | Broken]:
    """Every sentence; the offset is the number of its first line."""
    numbered = enumerate(lines(path, encoding, "\n"), 1)
    for blank, block in groupby(numbered, key=lambda one: not one[1].strip()):
        if not blank:
            found = list(block)
            yield from _sentence(found[0][0], [line for _, line in found])


def _sentence(number: int, block: list[str]) -> Iterator[Row | Broken]:
    if too_long := next((line for line in block if isinstance(line, TooLong)), None):
        yield Broken(number, "too_large", f"a line is longer than {LONGEST_LINE:,} characters", too_long)
        return
    written = next((line[len(_TEXT) :].strip() for line in block if line.startswith(_TEXT)), "")
    tokens = [token for line in block if (token := _token(line))]
    if text := written or " ".join(tokens):
        yield Row(number, {COLUMN: text})


def _token(line: str) -> str:
    """Empty for comments, marks between documents, and the parts of contracted words in CoNLL-U."""
    cells = line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
    if len(cells) == UNIVERSAL_COLUMNS and not cells[0].startswith("#"):
        return cells[1].strip() if cells[0].isdecimal() else ""
    first = cells[0].strip()
    is_comment = first.startswith("#") and "\t" not in line and ("=" in line or len(cells) == 1)
    return "" if is_comment or first == _DOCUMENT else first
