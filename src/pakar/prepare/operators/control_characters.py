"""Remove characters that nobody sees: controls, soft hyphens, zero-width spaces, marks that turn the writing direction.

What scripts and emoji need stays: joiners (U+200C, U+200D) beside letters outside ASCII, one variation selector behind a
character, and the tags of regional flags. Elsewhere joiners, further selectors and tags only hide things, and go.
"""

from __future__ import annotations

import polars as pl

from pakar.prepare.operators import Texts, Tools
from pakar.recipe.operators import ControlCharacters

_LINE_ENDS = "[\\x{0B}\\x{0C}\\x{85}\\x{2028}\\x{2029}]"
_FLAG = "\\x{1F3F4}[\\x{E0030}-\\x{E0039}\\x{E0061}-\\x{E007A}]{3,6}\\x{E007F}"  # a flag, its region in tags, the end
_INVISIBLE = (
    f"({_FLAG})|"  # kept
    "[\\x{00}-\\x{08}\\x{0E}-\\x{1F}\\x{7F}-\\x{84}\\x{86}-\\x{9F}\\x{AD}\\x{034F}\\x{061C}\\x{180E}\\x{200B}\\x{200E}\\x{200F}"
    "\\x{202A}-\\x{202E}\\x{2060}-\\x{206F}\\x{3164}\\x{FEFF}\\x{FFA0}\\x{FFF9}-\\x{FFFC}\\x{FFFE}\\x{FFFF}\\x{E0000}-\\x{E007F}]"
)
_IDLE_JOINERS = "(^|[\\x{00}-\\x{7F}])[\\x{200C}\\x{200D}]+"
_SELECTOR = "[\\x{FE00}-\\x{FE0F}\\x{E0100}-\\x{E01EF}]"
_SELECTORS = f"({_SELECTOR}){_SELECTOR}+|^{_SELECTOR}+"


def remove_control_characters(texts: pl.Series) -> pl.Series:
    """Texts without invisible characters; old-fashioned line ends become plain ones."""
    seen = texts.str.replace_all(_LINE_ENDS, "\n").str.replace_all(_INVISIBLE, "$1")
    return seen.str.replace_all(_SELECTORS, "$1").str.replace_all(_IDLE_JOINERS, "$1")


def build(_: ControlCharacters, __: Tools) -> Texts:
    """For `pakar.prepare.operators.build`."""
    return Texts(remove_control_characters)
