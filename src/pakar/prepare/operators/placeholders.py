r"""Find blanks of templates that nobody filled in. Flag or reason: `placeholder`; the detail shows the first one found.

Blanks are `{{name}}`; `{name}` for words that stand for a person, a firm, a date and the like; `[NAME]`, `[Your Name]`, `[insert topic]`; `<NAME>`,
`<your name>`, `<unk>`; `XXXX`, `XXX-XX`; `%s`; "lorem ipsum"; `INSERT TEXT HERE`. None of these are: citations (`[1]`), links of Markdown
(`[name](address)`), formulas (`\frac{{a}}{{b}}`), tags of XML (`<name>`), the placeholders that Pakar itself puts in (`[EMAIL_1]`, `[LINK]`), and anything in
code: between backticks or in texts with signs of a program (`f"…{name}"`, `print(`, `return `).
"""

from __future__ import annotations

import polars as pl

from pakar.prepare.frames import Sieved
from pakar.prepare.operators import Rows, Tools
from pakar.prepare.rows import flag_or_reject, said
from pakar.recipe.operators import Placeholders

NAME = "placeholders"
WORD = "placeholder"

_BEFORE = r"(?:^|[\s\"'“‘(>,.:;!?-])"  # noqa: RUF001 - opening quotes; Polars cannot look back, so what stands before is matched
_WORDS = (
    r"(?:(?:your|user|first|last|full|family|company|customer|client|patient|business|product|brand|city|recipient|sender|team|school)(?:'s|’s)?[ _-]?)?"  # noqa: RUF001
    r"(?:name|date|time|address|company|city|location|country|phone|e-?mail|title|topic|product|username|user|organi[sz]ation|position|number|url|website)"
)
_CAPITALS = (
    "NAME|FIRSTNAME|LASTNAME|SURNAME|DATE|TIME|CITY|COUNTRY|LOCATION|ADDRESS|COMPANY|ORGANI[SZ]ATION|RELIGION|USER|USERNAME|PRODUCT|TOPIC|TITLE|REDACTED|BLANK|"
    "PLACEHOLDER|YOUR[ _]NAME|FIRST[ _]NAME|LAST[ _]NAME|COMPANY[ _]NAME|PHONE[ _]NUMBER|EMAIL[ _]ADDRESS"
)
_BLANKS = (
    r"\{\{\s*[A-Za-z_][\w .-]{0,40}\s*\}\}",
    rf"\{{(?i:{_WORDS})\}}",
    rf"\[(?:{_CAPITALS})\](?:[^(]|$)",
    rf"\[(?i:(?:your|insert|enter)\b[^\[\]\n]{{0,60}}|{_WORDS}(?: here)?)\](?:[^(]|$)",
    rf"<(?:{_CAPITALS}|(?i:(?:your|insert|enter) [^<>\n]{{1,60}}))>",
    r"%(?:s|d|\([a-z_]+\)[sd])(?:$|[\s\"'”’),.!?])",  # noqa: RUF001 - closing quotes
)
_ANYWHERE = (r"<unk>|<UNK>", r"X{4,}", r"XX{1,3}[-/.]XX[-/.X]*", r"(?i:lorem ipsum)", r"INSERT [A-Z ]{1,40}HERE")
BLANK = f"{_BEFORE}(?:{'|'.join(_BLANKS)})|(?:^|[^0-9A-Za-z])(?:{'|'.join(_ANYWHERE)})(?:$|[^0-9A-Za-z])"

_MAYBE = r"[{\[<%]|XX|(?i:lorem)|HERE"  # texts without these hold no blank
_AROUND = " \n\t\"'“”\u2018\u2019(),.:;!?*-"
_CODE_SPANS = r"(?s)```.*?(?:```|$)|`[^`\n]*`"
_PROGRAM = r"\bf[\"'][^\"'\n]*\{|\bprint(?:f|ln)?\(|\.format\(|console\.log|\bdef \w+\(|\bfunction\s*\w*\(|\bconst \w+ =|\$\{\w|=> \{|\bimport \w+|#include|\breturn [\w\"'(]+;|\bsprintf\("


def find_placeholders(texts: pl.Series) -> pl.Series:
    """The first blank in every text, null where there is none."""
    found = pl.Series([None], dtype=pl.String).new_from_index(0, len(texts))
    maybe = texts.str.contains(_MAYBE).fill_null(value=False)
    if not maybe.any():
        return found
    prose = texts.filter(maybe).str.replace_all(_CODE_SPANS, " ")
    blank = pl.when(~pl.col("text").str.contains(_PROGRAM)).then(
        pl.col("text").str.extract(f"({BLANK})").str.strip_chars(_AROUND).str.strip_prefix(">")
    )
    return found.scatter(maybe.arg_true(), prose.to_frame("text").select(blank).to_series())


def sieve_placeholders(batch: pl.DataFrame, section: Placeholders) -> Sieved:
    """Rows, with blanks flagged or rejected."""
    return flag_or_reject(
        find_placeholders(batch.select(said()).to_series()), batch, WORD, NAME, treatment=section.treatment
    )


def build(section: Placeholders, _: Tools) -> Rows:
    """For `pakar.prepare.operators.build`."""
    return Rows(lambda batch: sieve_placeholders(batch, section))
