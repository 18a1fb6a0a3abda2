"""Dates of birth: dates shortly behind a word such as "born"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from presidio_analyzer import predefined_recognizers as presidio

from pakar.prepare.personal.found import Detector, Found
from pakar.prepare.personal.presidio import Pattern, Recogniser, matches

_WORDS = r"(?i)\b(?:born|birth|birthday|birthdate|birth-date|dob|d\.o\.b|lahir|kelahiran|ttl|geboren|geburtsdatum|geb\.|né|née|naissance|nacido|nacida|nacimiento)\b"
_REACH = 40  # characters between the word and the end of the date
_MONTH = (
    "(?:jan(?:uary|uari)?|feb(?:ruary|ruari)?|mar(?:ch|et)?|apr(?:il)?|ma[yi]|june?|juni|july?|juli|aug(?:ust|ustus)?|agu(?:stus)?|"
    "sep(?:t|tember)?|o[ck]t(?:ober)?|nov(?:ember)?|de[cs](?:ember)?)"
)
_DAY, _YEAR = "(?:0?[1-9]|[12][0-9]|3[01])(?:st|nd|rd|th)?", "(?:19|20)[0-9]{2}"
_WRITTEN_OUT = [
    Pattern("12 March 1985", rf"\b{_DAY}\.?(?: of)?[ -]{_MONTH}\.?,?[ -]{_YEAR}\b", 0.6),
    Pattern("March 12, 1985", rf"\b{_MONTH}\.? {_DAY},? {_YEAR}\b", 0.6),
]
_LIKELY = 0.5  # leaves out Presidio's months and years without a day


def date_of_birth() -> Detector:
    """Full dates, in figures or with a month's English or Indonesian name, behind a word that speaks of birth."""
    recogniser = presidio.DateRecognizer(patterns=[*presidio.DateRecognizer.PATTERNS, *_WRITTEN_OUT])
    return Detector("date-of-birth", _WORDS, partial(_births, recogniser))


def _births(recogniser: Recogniser, text: str) -> Iterator[Found]:
    for word in re.finditer(_WORDS, text):
        for match in matches(recogniser, text, word.end(), word.end() + _REACH):
            if match.score >= _LIKELY:
                yield Found(match.start, match.end, "date-of-birth")
