"""What stands around a number: words that say what it is, and references (links, DOIs, dates) whose digits are nobody's number."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

BEFORE = 48  # characters in which a word such as "phone" counts as context
AFTER = 16
PHONE_WORDS = ["phone", "phones", "telephone", "tel", "mobile", "mob", "cell", "cellphone", "smartphone", "call", "calls", "called", "calling", "callback", "dial", "ring", "reach", "contact", "text", "texted", "sms", "whatsapp", "wa", "signal", "telegram", "fax", "number", "extension", "voicemail", "landline", "ph", "hp", "nohp", "telp", "telepon", "telpon", "tlp", "hubungi", "nomor", "ponsel", "seluler", "handy", "handynummer", "telefon", "telefonnummer", "téléphone", "teléfono", "telefono"]  # fmt: skip
_PLACEHOLDER_LENGTH = 32
_LATIN = re.compile(r"[A-Za-z0-9_]").match
PLACEHOLDER = re.compile(r"\[([A-Z]+(?:_[A-Z]+)*)_([0-9]+)\]")

_LABELS = (
    "isbn(?:-?1[03])?|issn|pmid|pmcid|pmc|nct|doi|arxiv|orcid|rrid|cas|omim|mim|uniprot|genbank|pubmed|isrctn|eudract|drks|grant|patent|"
    "accession|catalogu?e|article|case|ticket|order|invoice|tracking|version|serial|issue|volume|page|pages|isni|oclc|lccn|ean|upc|gtin"
)
_DAY = r"(?:0?[1-9]|[12][0-9]|3[01])"
_YEAR = r"(?:1[5-9]|20)[0-9]{2}"
_REFERENCES = re.compile(
    r"(?i)"
    r"\b(?:https?://|www\.)(?!(?:wa\.me|api\.whatsapp\.com)/)\S+"  # a link; those that carry a phone number count as one
    r"|\b10\.[0-9]{4,9}/\S+"  # DOI
    rf"|\b(?:{_LABELS})(?:s|\b)[ \t]*(?:no|nos|number|id|code)?[.:#()\s]{{0,4}}[0-9][0-9xX \u2010-\u2015-]*"
    r"|\b97[89][ -]?(?:[0-9][ -]?){9}[0-9](?![0-9])"  # ISBN-13
    r"|(?<![0-9.])[0-9]{4}\.[0-9]{4,5}(?:v[0-9]{1,2})?(?![0-9])"  # arXiv
    rf"|(?<![0-9.-]){_YEAR}[-/.](?:0?[1-9]|1[0-2])[-/.]{_DAY}(?:[T ][0-9]{{2}}:[0-9]{{2}}\S*)?(?![0-9]|[-/.][0-9])"
    rf"|(?<![0-9./-]){_DAY}([-/.])(?:0?[1-9]|[12][0-9]|3[01])\1(?:{_YEAR}|[0-9]{{2}})(?![0-9]|[-/.][0-9])"
    r"|(?<![0-9.])(?<!\+[0-9]{2}[ .])(?<!\+[0-9]{3}[ .])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9]|\.[0-9])"  # an IP address or version
    rf"|(?<![0-9.-]){_YEAR}\s*[-/\u2010-\u2015]\s*{_YEAR}(?![0-9]|[-/.][0-9])"
    r"|(?<![0-9.])[0-9]{1,3}\.[0-9]{4,}(?![0-9.-])"  # a decimal, and so coordinates too
)


def references(text: str) -> list[tuple[int, int]]:
    """Where links, DOIs, ISBNs, arXiv ids, dates, year ranges, coordinates and labelled numbers stand."""
    return [match.span() for match in _REFERENCES.finditer(text)]


def overlaps(start: int, end: int, spans: Iterable[tuple[int, int]]) -> bool:
    """Whether any of the spans shares a character with `start:end`."""
    return any(left < end and start < right for left, right in spans)


def embedded(text: str, start: int, end: int) -> bool:
    """Whether `text[start:end]` is part of a longer number or word, such as the digits behind a decimal point."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    return (
        _LATIN(before[-1:]) is not None
        or (before[-1:] in {".", ",", "-"} and before[:1].isdigit() and len(before) == 2)
        or _LATIN(after[:1]) is not None
        or (after[:1] in {".", ",", "-"} and after[1:].isdigit())
    )


def beside(text: str, start: int, end: int, words: Iterable[str]) -> bool:
    """Whether one of the words stands shortly before `text[start:end]`, or right behind it. Placeholders do not count as words."""
    before = _without_placeholders(text[max(0, start - BEFORE - _PLACEHOLDER_LENGTH) : start])[-BEFORE:]
    after = _without_placeholders(text[end : end + AFTER + _PLACEHOLDER_LENGTH])[:AFTER]
    return _words(tuple(words)).search(f"{before} \n {after}") is not None


def _without_placeholders(text: str) -> str:
    return PLACEHOLDER.sub(lambda match: " " * len(match[0]), text)


@cache
def _words(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?i)(?<![^\W\d_])(?:{'|'.join(re.escape(word.strip()) for word in words)})(?![^\W\d_])")
