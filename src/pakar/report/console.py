"""Results on standard output, with colours where a person looks at them."""

from __future__ import annotations

import re
import sys

from rich.console import Console

WIDTH = 110
"""Columns where nobody says how wide the output is: pipes and files."""


_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def console() -> Console:
    """Standard output; without colours when it is no terminal, or NO_COLOR is set."""
    out = Console(file=sys.stdout, highlight=False, soft_wrap=False)
    return out if out.is_terminal else Console(file=sys.stdout, highlight=False, width=WIDTH)


def has_colours(out: Console) -> bool:
    """Whether colours can carry meaning; if not, signs must."""
    return out.is_terminal and not out.no_color and out.color_system is not None


def printable(text: str) -> str:
    """`text` without characters that would command the terminal; each becomes `�`."""
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)
