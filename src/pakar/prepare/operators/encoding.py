"""Mend text that was decoded wrongly somewhere on its way (`cafÃ©` → `café`), and compose letters and accents (NFC)."""

from __future__ import annotations

import ftfy
import polars as pl

from pakar.prepare import operators

_REPAIR = ftfy.TextFixerConfig(
    unescape_html=False,  # the html cleaner's work
    uncurl_quotes=False,  # curly quotes are not a fault
    fix_latin_ligatures=False,
    fix_character_width=False,
    fix_line_breaks=False,
    remove_control_chars=False,
    remove_terminal_escapes=False,
    normalization="NFC",
)


def repair_encoding(texts: pl.Series) -> pl.Series:
    """Repaired texts. ASCII cannot be broken this way, so it is passed over."""
    return operators.map_where(texts, r"[^\x00-\x7F]", lambda text: ftfy.fix_text(text, _REPAIR))
