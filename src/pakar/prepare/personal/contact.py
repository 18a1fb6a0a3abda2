"""E-mail addresses, telephone numbers and links."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product

import phonenumbers
from presidio_analyzer import predefined_recognizers as presidio

from pakar.prepare.helplines import is_helpline
from pakar.prepare.personal.found import Detector, Found
from pakar.prepare.personal.presidio import OfflineEmail, Recogniser, matches, suffixes
from pakar.prepare.personal.surroundings import PHONE_WORDS, beside, embedded, overlaps, references

_EMAIL = r"[^\s@]@[\w-]+\.\w"
_LOCAL_PART = re.compile(r"[^\s@<>()\[\]\"“”,;:/?=&]*\Z")  # / ? = & could be in one, but it is links that have them
_DOMAIN = re.compile(r"[\w.-]*")


def email() -> Detector:
    """E-mail addresses whose domain can exist."""
    return Detector("email", _EMAIL, partial(_emails, OfflineEmail()))


def _emails(recogniser: Recogniser, text: str) -> Iterator[Found]:
    for candidate in re.finditer(_EMAIL, text):
        at = candidate.start() + 1
        local = _LOCAL_PART.search(text, max(0, at - 64), at)
        domain = _DOMAIN.match(text, at + 1, at + 256)
        if local and domain:
            yield from _address(recogniser, text, local.start(), domain.end())


def _address(recogniser: Recogniser, text: str, start: int, end: int) -> Iterator[Found]:
    """The longest address; a word glued to its end (`a@b.org.Then`) is given back."""
    while (at := text.rfind(".", start, end)) > 0:
        found = [Found(match.start, match.end, "email") for match in matches(recogniser, text, start, end)]
        if found:
            yield from found
            return
        end = at


_GAP = r"[ \t().\-/\u00a0\u2010-\u2015\u202f\u00b7\u2022]{0,4}"
_PHONE = rf"[0-9](?:{_GAP}[0-9]){{6,}}"
_IS_PHONE_WORD = frozenset(PHONE_WORDS)
_HELP_WORDS = (
    "hotline",
    "helpline",
    "help line",
    "lifeline",
    "crisis line",
    "crisis centre",
    "crisis center",
    "distress line",
    "distress centre",
    "distress center",
    "suicide prevention",
    "poison control",
)  # a service of the public, even if our list does not have its number
# What is written as a telephone number and hardly anything else: +..., (0..., 0..., 00..., and North America's 212-555-0123.
_PHONE_FORM = re.compile(
    r"\+|\(\+?[0-9]|(?<![0-9.,])0(?:0[-/ .]?)?\(?[1-9]|(?<![0-9])(?:1[-. ])?[2-9][0-9]{2}([-.])[0-9]{3}\1[0-9]{4}(?![0-9])"
)
_LETTERS = re.compile(r"[a-z]+")  # quick; of `téléphone` it leaves `phone`
_SINGLE_DIGITS = re.compile(r"(?<![0-9])[0-9](?![0-9])")
_SERVICES = {
    phonenumbers.PhoneNumberType.TOLL_FREE,
    phonenumbers.PhoneNumberType.SHARED_COST,
    phonenumbers.PhoneNumberType.PREMIUM_RATE,
    phonenumbers.PhoneNumberType.UAN,
}


def phone(regions: Sequence[str]) -> Detector:
    """Valid telephone numbers: those with a country code, and those of the regions; helplines and free lines are nobody's own."""
    recognisers = {region: presidio.PhoneRecognizer(supported_regions=(region,)) for region in regions or ("ZZ",)}
    return Detector("phone", _PHONE, partial(_phones, recognisers))


def _phones(recognisers: Mapping[str, Recogniser], text: str) -> Iterator[Found]:
    has_words = not _IS_PHONE_WORD.isdisjoint(_LETTERS.findall(text.casefold()))
    places = [(match.start() - 3, match.end()) for match in re.finditer(_PHONE, text)]
    # The matcher is slow. Most runs of digits are no phone numbers, and neither their form nor a word says that they are.
    places = [place for place in places if has_words or _PHONE_FORM.search(text, max(0, place[0]), place[1])]
    elsewhere = references(text) if places else []
    for (start, end), (region, recogniser) in product(places, recognisers.items()):
        for match in matches(recogniser, text, start, end + 14):
            begin = match.start + _opens_too_much(text[match.start : match.end])
            if _is_personal_phone(text, begin, match.end, region, elsewhere):
                yield Found(begin, match.end, "phone")


def _opens_too_much(value: str) -> bool:
    return value.startswith("(") and ")" not in value


def _is_personal_phone(text: str, start: int, end: int, region: str, elsewhere: Iterable[tuple[int, int]]) -> bool:
    value = text[start:end]
    if (
        overlaps(start, end, elsewhere)
        or embedded(text, start, end)
        or is_helpline(value)
        or _is_service(value, region)
    ):
        return False
    if beside(text, start, start, _HELP_WORDS):
        return False
    digits = sum(map(str.isdigit, value))
    looks = _PHONE_FORM.match(text, start, end) is not None and 2 * len(_SINGLE_DIGITS.findall(value)) < digits
    return looks or beside(text, start, end, PHONE_WORDS)


def _is_service(value: str, region: str) -> bool:
    """Whether the number is of a kind that organisations have and persons do not, such as toll-free."""
    try:
        return phonenumbers.number_type(phonenumbers.parse(value, region)) in _SERVICES
    except phonenumbers.NumberParseException:
        return False


_LINK = r"(?i)https?://[^\s/]|www\.\w|[a-z0-9-]{3,}\.[a-z]{2,}|[a-z]\.[a-z]{2,6}/\w"
_ADDRESSED = re.compile(r"(?i)\b(?:https?://|www\.)[^\s<>\"“”]+")
_BARE = re.compile(
    r"(?<![\w@./-])((?:[A-Za-z0-9-]{1,63}\.){1,8}[a-z]{2,24})(?::[0-9]{2,5})?([/?#][^\s<>\"“”]*)?(?![\w@-])"
)
_CLOSING = {")": "(", "]": "[", "}": "{"}


def link() -> Detector:
    """Web addresses, with `http` or without."""
    return Detector("link", _LINK, _links)


def _links(text: str) -> Iterator[Found]:
    for match in _ADDRESSED.finditer(text):
        yield Found(match.start(), _without_punctuation(text, *match.span()), "link")
    for match in _BARE.finditer(text):
        name = suffixes()(match[1])
        if name.fqdn and (match[2] or len(name.domain) > 2):
            yield Found(match.start(), _without_punctuation(text, *match.span()), "link")


def _without_punctuation(text: str, start: int, end: int) -> int:
    """Where a link ends when the sentence's own marks, and a bracket opened before it, are left out."""
    while (last := text[end - 1]) in ".,;:!?'\u2019*_" or text.count(last, start, end) > text.count(
        _CLOSING.get(last, last), start, end
    ):
        end -= 1
    return end
