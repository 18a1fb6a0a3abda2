"""Mend text that was decoded wrongly somewhere on its way (`cafÃ©` → `café`), and compose letters and accents (NFC).

ftfy does the mending. It is slow, and it only ever works on text in which its own pattern finds signs of wrong decoding; so
that same pattern is handed to the expression engine first, and clean text of any language passes at the speed of the engine.
"""

from __future__ import annotations

from functools import cache

import ftfy
import polars as pl
from ftfy.badness import BADNESS_RE

from pakar.prepare.operators import Texts, Tools, map_where
from pakar.recipe.operators import Encoding

_NOT_ASCII = r"[^\x00-\x7F]"  # ASCII can neither be broken in this way nor be composed
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
    """Repaired and composed texts."""
    foreign = texts.str.contains(_NOT_ASCII)
    if not foreign.any():
        return texts
    composed = _mend(texts.filter(foreign)).str.normalize("NFC")
    places = foreign.arg_true()
    return texts.clone().scatter(places, _mend(composed))  # composing may show a fault: look-alikes of `·` become one


def _mend(texts: pl.Series) -> pl.Series:
    return map_where(texts, signs_of_wrong_decoding(), lambda text: ftfy.fix_text(text, _REPAIR))


@cache
def signs_of_wrong_decoding() -> str:
    """Ftfy's pattern as the expression engine reads it: no comments, no layout, `^` at the start of every line."""
    kept, inside = ["(?m)"], False
    for line in BADNESS_RE.pattern.splitlines():
        characters = iter(line)
        for character in characters:
            if character == "#" and not inside:
                break
            if character == "\\":
                kept.append(character + next(characters))
            elif inside or not character.isspace():
                kept.append(character)
                inside = character == "[" or (inside and character != "]")
    return "".join(kept)


def build(_: Encoding, __: Tools) -> Texts:
    """For `pakar.prepare.operators.build`."""
    return Texts(repair_encoding)
