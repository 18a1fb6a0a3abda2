r"""Links, e-mail addresses, phone numbers and numbers: keep them, replace them by a placeholder, or reject the row.

Reasons, tried in this order: `has_link`, `has_email`, `has_phone`, `has_number`. Placeholders: `[LINK]`, `[EMAIL]`, `[PHONE]`, `[NUMBER]`.

Helplines. A rule "no numbers" would silently take away where people in need can turn to. So a number that belongs to a public crisis, emergency or poison
line (`pakar.prepare.helplines`) counts neither as a phone number nor as a number: it is never replaced, and no row is rejected for it.
A short one such as 988 must stand beside a word such as "call". A row rejected for some other number says so in its detail if it names a
helpline, so that it can be looked for among the rejected rows.

A number is anything with a digit in it (`B12`, `3.5`, `2nd`), but placeholders such as `[PERSON_1]`. A phone number is what looks like
one: an international number, one with a trunk prefix or an area code, or six digits and more behind a word such as "phone". The numbering
plans of single countries are known to the operator `personal-data`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import polars as pl

from pakar.prepare.frames import REJECTED, Sieved, nothing
from pakar.prepare.helplines import HELPLINE, helpline_numbers, is_helpline
from pakar.prepare.operators import Rows, Tools, map_where
from pakar.prepare.rows import remove, rewrite, said
from pakar.recipe.operators import Patterns

NAME = "patterns"
_ROLES = ("system", "user", "assistant", "text")
_END = r"[^\s<>\"'.,;:!?)\]}]"
_ADDRESS = rf"(?:https?://|ftp://|www\.)[^\s<>\"]*{_END}"
_SUFFIX = "(?-i:com|org|net|edu|gov|info|io|app|dev|(?:co|ac|gov|org|com)\\.[a-z]{2})"  # not `.in` or `.me`: sentences run together look so
_DOMAIN = rf"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.{_SUFFIX}(?:/[^\s<>\"]*{_END}|/)?"
LINK = rf"(?i){_ADDRESS}|(^|[\s(\[<\"']){_DOMAIN}($|[\s)\]>\"'.,;:!?])"
EMAIL = r"(?i)[\w.+%-]*[\w+%-]@[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}"

_MANY_DIGITS = r"[0-9](?:[ ().-]{0,3}[0-9]){5}"  # what every phone number has
_PHONE = re.compile(
    r"(?<![0-9A-Za-z.,/=_-])(?:"
    r"\+\(?[0-9]{1,3}\)?(?:[ .-]?\(?[0-9]{2,5}\)?){2,5}"
    r"|(?:1[ .-])?(?:\([0-9]{3}\) ?|[0-9]{3}[ .-])[0-9]{3}[ .-][0-9]{4}"
    r"|0[0-9]{2,4}[ /.-][0-9]{3,4}(?:[ .-]?[0-9]{3,4}){1,2}"
    r"|0[1-9][0-9]{8,10}"
    r")(?![0-9A-Za-z_/=-])"
    r"|(?i:(?<![a-z])(?:tel|telephone|phone|mobile|cell|call|fax|sms|text|whatsapp|telp|telepon|hp|handy|number)"
    r"(?: (?:is|at|me|us|on|number|no))*[ .:#]{0,3})(?P<told>\(?[0-9][0-9 ().-]{4,14}[0-9])"
)
_PLACEHOLDER = r"\[[A-Z]+(?:_[A-Z]+)*(?:_[0-9]+)?\]"
NUMBER = r"[\p{L}\p{N}_]*\p{Nd}[\p{L}\p{N}_]*(?:[.,:/'-][\p{L}\p{N}_]*\p{Nd}[\p{L}\p{N}_]*)*"
_placeholders = re.compile(_PLACEHOLDER)
_MARK = "\ufdd0"  # a code point that is never a character; stands where a helpline or a placeholder was
_number = re.compile(r"(?<!\w)[^\W\d]*+\d\w*+(?:[.,:/'-][^\W\d]*+\d\w*+)*")  # NUMBER for `re`, in linear time
_names_helpline = re.compile(HELPLINE).search


class Pattern(NamedTuple):
    """One kind of thing to look for.

    Attributes:
        reason: For rejected rows.
        found: Whether texts hold it.
        replace: Texts with a placeholder in its place.
    """

    reason: str
    found: Callable[[pl.Series], pl.Series]
    replace: Callable[[pl.Series], pl.Series]


def has_link(texts: pl.Series) -> pl.Series:
    """Whether a web address stands in each text."""
    return texts.str.contains(LINK)


def replace_links(texts: pl.Series) -> pl.Series:
    """`[LINK]` for web addresses."""
    return texts.str.replace_all(LINK, "${1}[LINK]${2}")


def has_email(texts: pl.Series) -> pl.Series:
    """Whether an e-mail address stands in each text."""
    return texts.str.contains(EMAIL)


def replace_emails(texts: pl.Series) -> pl.Series:
    """`[EMAIL]` for e-mail addresses."""
    return texts.str.replace_all(EMAIL, "[EMAIL]")


def has_phone(texts: pl.Series) -> pl.Series:
    """Whether a phone number that is no helpline stands in each text."""
    return _differ(texts, replace_phones(texts))


def replace_phones(texts: pl.Series) -> pl.Series:
    """`[PHONE]` for phone numbers that are no helplines."""
    return map_where(texts, _MANY_DIGITS, lambda text: _PHONE.sub(_hide_phone, text))


def has_number(texts: pl.Series) -> pl.Series:
    """Whether anything with a digit stands in each text, helplines and placeholders aside."""
    return _differ(texts, replace_numbers(texts))


def replace_numbers(texts: pl.Series) -> pl.Series:
    """`[NUMBER]` for all that has a digit in it, helplines and placeholders aside."""
    special = texts.str.contains(f"{_PLACEHOLDER}|{HELPLINE}").fill_null(value=False)
    plain = texts.filter(~special).str.replace_all(NUMBER, "[NUMBER]")
    rest = map_where(texts.filter(special), r"\p{Nd}", _hide_numbers)
    return texts.clone().scatter((~special).arg_true(), plain).scatter(special.arg_true(), rest)


def _differ(texts: pl.Series, others: pl.Series) -> pl.Series:
    return texts.ne_missing(others)


def _hide_phone(match: re.Match[str]) -> str:
    number = match["told"] or match[0]
    return match[0] if is_helpline(number) else match[0].replace(number, "[PHONE]")


def _hide_numbers(text: str) -> str:
    protected = _placeholders_and_helplines() if _names_helpline(text) else _placeholders
    kept: list[str] = protected.findall(text)
    hidden = str(_number.sub("[NUMBER]", protected.sub(_MARK, text.replace(_MARK, ""))))
    for piece in kept:
        hidden = hidden.replace(_MARK, piece, 1)
    return hidden


@cache
def _placeholders_and_helplines() -> re.Pattern[str]:
    return re.compile(f"{_PLACEHOLDER}|{helpline_numbers().pattern}")


PATTERNS = {
    "links": Pattern("has_link", has_link, replace_links),
    "emails": Pattern("has_email", has_email, replace_emails),
    "phones": Pattern("has_phone", has_phone, replace_phones),
    "numbers": Pattern("has_number", has_number, replace_numbers),
}
"""By field of the recipe's section; e-mail addresses are no links, and what is a link, an address or a phone number is no number."""


def treat_patterns(batch: pl.DataFrame, section: Patterns) -> Sieved:
    """Rows without what the section forbids, with placeholders for what it hides; changed rows are TOUCHED."""
    rejected = nothing(REJECTED)
    replacements = []
    for field, pattern in PATTERNS.items():
        if getattr(section, field) == "replace":
            replacements.append(pattern.replace)
        elif getattr(section, field) == "reject":
            texts = batch.select(said()).to_series()
            hits = pattern.found(texts)
            batch, out = remove(batch, hits, pattern.reason, NAME, _details(texts))
            rejected = rejected.vstack(out)
    return Sieved(rewrite(batch, lambda texts: _apply(texts, replacements), _ROLES), rejected)


def _details(texts: pl.Series) -> pl.Series:
    told = pl.when(texts.str.contains(HELPLINE)).then(pl.lit("names a helpline")).otherwise(pl.lit(""))
    return texts.to_frame("text").select(told).to_series()


def _apply(texts: pl.Series, functions: list[Callable[[pl.Series], pl.Series]]) -> pl.Series:
    for function in functions:
        texts = function(texts)
    return texts


def build(section: Patterns, _: Tools) -> Rows:
    """For `pakar.prepare.operators.build`."""
    return Rows(lambda batch: treat_patterns(batch, section))
