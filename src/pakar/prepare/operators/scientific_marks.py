r"""Remove the marks that pre-tokenised papers carry; numbers and word borders stay.

- citations: `@xcite`, and `xcite` as a word of its own (`excited` is none);
- formulas: `@xmath0`, `xmath12`, glued to other letters or not (`s@xmath1` → `s`); the mark's number has no leading zeros, so the `51`
  of `@xmath051` is the text's own and stays; a hyphen or per cent sign that belonged to the formula goes with it;
- what a formula leaves behind: ` $ ]`, empty brackets, doubled commas;
- in texts that write a space before full stops and commas: spaced hyphens (`long - range` → `long-range`), and line ends within
  a paragraph become spaces. Empty lines between paragraphs stay, and in any other text so do line ends and dashes.

Where a citation or formula was part of the sentence, a gap remains (`as shown in .`): what stood there is not in the data.
"""

from __future__ import annotations

import polars as pl

from pakar.prepare.operators import Texts, Tools
from pakar.recipe.operators import ScientificMarks

_SIGN = r"(?i)xcite|xmath[0-9]|\$ \]| [.,](?:\s|$)"  # texts without any of these pass untouched
_CITATION = r"(?i)@xcite|(?-u:\b)xcite(?-u:\b)"
_FORMULA = r"(?i)(?: ?- ?)?@?xmath(?:0|[1-9][0-9]*)(?: ?%)?(?: ?- ?)?"  # `high - @xmath0`, `@xmath1-ray`, `@xmath2 %`
_REST = r" ?\$ \]"
_EMPTY_BRACKETS = r"[(\[]\s*[)\]]"
_DOUBLED_COMMA = r",(?:\s*,)+"
_SPACED_HYPHEN = r"(?-u:\b) - (?-u:\b)"
_TOKENISED = r"[^\s] [.,](?:\s|$)"
_PARAGRAPH_END = r"\s*\n\s*\n\s*"
_PARAGRAPH_MARK = "\u2029"  # stands in for empty lines while line ends are joined
_LINE_END = r" +\n +"
_LINE_END_AFTER_STOP = r"( [.,;:?!)]) *\n *"


def remove_scientific_marks(texts: pl.Series) -> pl.Series:
    """Texts without marks."""
    touched = texts.str.contains(_SIGN)
    if not touched.any():
        return texts
    text = pl.col("text")
    tokenised = text.str.contains(_TOKENISED)
    unmarked = (
        text.str.replace_all(_CITATION, " ").str.replace_all(_FORMULA, " ").str.replace_all(_REST, " ")
        .str.replace_all(_EMPTY_BRACKETS, " ").str.replace_all(_DOUBLED_COMMA, ",").str.replace_all(" {2,}", " ")
    )  # fmt: skip
    joined = (
        unmarked.str.replace_all(_PARAGRAPH_END, _PARAGRAPH_MARK)
        .str.replace_all(_LINE_END, " ").str.replace_all(_LINE_END_AFTER_STOP, "$1 ")
        .str.replace_all(_PARAGRAPH_MARK, "\n\n", literal=True).str.replace_all(_SPACED_HYPHEN, "-")
    )  # fmt: skip
    tidy = pl.when(tokenised).then(joined).otherwise(unmarked).str.strip_chars()
    chosen = pl.when(pl.col("touched")).then(tidy).otherwise(text)
    return pl.DataFrame({"text": texts, "touched": touched}).select(chosen.alias(texts.name)).to_series()


def build(_: ScientificMarks, __: Tools) -> Texts:
    """For `pakar.prepare.operators.build`."""
    return Texts(remove_scientific_marks)
