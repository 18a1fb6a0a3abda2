"""Remove characters that nobody sees: controls, soft hyphens, zero-width spaces, marks that turn the writing direction.

Joiners (U+200C, U+200D) stay: Persian, Indic scripts and emoji need them.
"""

from __future__ import annotations

import polars as pl

_LINE_ENDS = "[\\x{0B}\\x{0C}\\x{85}\\x{2028}\\x{2029}]"
_INVISIBLE = (
    "[\\x{00}-\\x{08}\\x{0E}-\\x{1F}\\x{7F}-\\x{84}\\x{86}-\\x{9F}\\x{AD}\\x{200B}\\x{200E}\\x{200F}"
    "\\x{202A}-\\x{202E}\\x{2060}-\\x{2064}\\x{2066}-\\x{206F}\\x{FEFF}\\x{FFF9}-\\x{FFFB}]"
)


def remove_control_characters(texts: pl.Series) -> pl.Series:
    """Texts without invisible characters; old-fashioned line ends become plain ones."""
    return texts.str.replace_all(_LINE_ENDS, "\n").str.replace_all(_INVISIBLE, "")
