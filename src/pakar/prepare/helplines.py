r"""Telephone and text numbers of crisis, emergency and poison lines: they save lives, so no operator removes them.

The list says which numbers are public services and not a person's own. It is no directory to show to people: lines move and
close, hours are not given, and a closed line is kept here as long as texts may still name it.

Sources, all of them public facts as the services and these lists publish them: the 988 Suicide & Crisis Lifeline (US, CA), America's
Poison Centers, European Commission decisions 2007/116/EC and 2007/698/EC (the harmonised numbers 116 000, 116 006, 116 111, 116 117, 116 123),
the emergency numbers of ITU-T E.161.1 (112, 911), the members' pages of Samaritans, Lifeline International, Befrienders Worldwide,
Child Helpline International and the IASP, and the health ministries of the countries named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple


class Lines(NamedTuple):
    """What is dialled in a country.

    Attributes:
        calling_code: Comes before the number in calls from abroad.
        numbers: As dialled inside the country, parted by commas.
    """

    calling_code: str
    numbers: str


_EUROPE = "112, 116 000, 116 006, 116 016, 116 111, 116 117, 116 123"

LINES = {
    "AR": Lines("54", "135, 107, 911, 011 5275 1135, 0800 345 1435"),
    "AT": Lines("43", f"{_EUROPE}, 142, 147, 144, 133, 0800 222 555, 01 406 43 43"),
    "AU": Lines("61", "000, 13 11 14, 0477 13 11 14, 1800 55 1800, 1300 22 4636, 1300 659 467, 13 11 26, 1800 737 732, 13 92 76, 1300 789 978, 1800 184 527, 1800 187 263"),
    "BD": Lines("880", "999, 109, 01779 554 391"),
    "BE": Lines("32", f"{_EUROPE}, 1813, 103, 106, 107, 0800 32 123, 070 245 245"),
    "BR": Lines("55", "188, 190, 192, 180, 100, 0800 722 6001"),
    "CA": Lines("1", "988, 911, 211, 811, 45645, 686868, 1-833-456-4566, 1-800-668-6868, 1-866-277-3553, 1-855-242-3310, 1-844-764-7669"),
    "CH": Lines("41", "112, 117, 143, 144, 145, 147"),
    "CL": Lines("56", "131, *4141, 600 360 7777"),
    "CN": Lines("86", "110, 120, 12356, 400-161-9995, 010-8295-1332"),
    "CO": Lines("57", "106, 123, 155"),
    "DE": Lines("49", f"{_EUROPE}, 110, 0800 111 0 111, 0800 111 0 222, 0800 111 0 550, 030 19240"),
    "DK": Lines("45", f"{_EUROPE}, 70 201 201, 82 12 12 12"),
    "ES": Lines("34", f"{_EUROPE}, 024, 016, 717 003 717, 900 202 010, 91 562 04 20"),
    "FI": Lines("358", f"{_EUROPE}, 09 2525 0111, 0800 147 111"),
    "FR": Lines("33", f"{_EUROPE}, 3114, 3919, 114, 119, 09 72 39 40 50, 01 45 39 40 00, 01 40 05 48 48"),
    "GB": Lines("44", "999, 112, 111, 116 123, 116 000, 0800 1111, 85258, 0800 068 4141, 0808 2000 247, 0800 58 58 58, 0300 123 3393, 0300 304 7000, 0808 801 0677, 0808 801 0327, 0808 500 2222, 0808 808 4994, 08457 90 90 90"),
    "GR": Lines("30", f"{_EUROPE}, 1018, 210 7793777"),
    "HK": Lines("852", "999, 18111, 2389 2222, 2896 0000, 2382 0000"),
    "ID": Lines("62", "112, 110, 118, 119, 129, 08111 129 129, 1500 567, 500 454"),
    "IE": Lines("353", f"{_EUROPE}, 999, 50808, 1800 247 247, 1800 66 66 66, 1800 341 900, 1850 60 90 90, 01 809 2166"),
    "IL": Lines("972", "100, 101, 1201"),
    "IN": Lines("91", "112, 14416, 1098, 181, 1-800-891-4416, 1800 599 0019, 1860 266 2345, 9999 666 555, 9152987821, 9820466726, 022 2754 6669, 044 2464 0050"),
    "IR": Lines("98", "1480, 123, 115"),
    "IT": Lines("39", f"{_EUROPE}, 118, 114, 1522, 19696, 02 2327 2327"),
    "JP": Lines("81", "110, 119, 0120-783-556, 0570-064-556, 0120-279-338, 03-5774-0992"),
    "KE": Lines("254", "999, 1195, 1199, 0722 178 177"),
    "KR": Lines("82", "112, 119, 109, 1393, 1577-0199, 1588-9191"),
    "KZ": Lines("7", "112, 111, 150, 103"),
    "LK": Lines("94", "1926, 1333, 1990"),
    "MX": Lines("52", "911, 800 911 2000, 800 290 0024, 55 5259 8121"),
    "MY": Lines("60", "999, 15999, 15555, 03-7627 2929, 03-7956 8145"),
    "NL": Lines("31", f"{_EUROPE}, 113, 0800 0113, 0900 0113"),
    "NO": Lines("47", f"{_EUROPE}, 113, 22 40 00 40, 815 33 300, 22 59 13 00"),
    "NP": Lines("977", "100, 102, 1166"),
    "NZ": Lines("64", "111, 1737, 0800 543 354, 0508 828 865, 0800 764 766, 0800 376 633, 0800 111 757"),
    "PH": Lines("63", "911, 1553, 0917 899 8727, 0966 351 4518, 1800 1888 1553"),
    "PK": Lines("92", "1122, 0311 7786264"),
    "PL": Lines("48", f"{_EUROPE}, 800 70 2222, 800 12 12 12"),
    "PT": Lines("351", f"{_EUROPE}, 213 544 545, 808 24 24 24, 800 250 250"),
    "RO": Lines("40", f"{_EUROPE}, 0800 801 200"),
    "RU": Lines("7", "112, 103, 124, 8-800-2000-122, 8 495 989 50 50"),
    "SE": Lines("46", f"{_EUROPE}, 90101, 1177, 020 22 00 60"),
    "SG": Lines("65", "995, 999, 1767, 1771, 1800 221 4444, 6389 2222, 9151 1767"),
    "TH": Lines("66", "191, 1323, 1669, 02 713 6793"),
    "TR": Lines("90", "112, 183"),
    "TW": Lines("886", "110, 119, 1925, 1980, 1995"),
    "UA": Lines("380", "112, 103, 7333, 0800 500 335"),
    "US": Lines("1", "988, 911, 211, 741741, 838255, 678678, 233733, 62640, 1-800-273-8255, 1-800-799-7233, 1-800-656-4673, 1-866-488-7386, 1-877-565-8860, 1-800-222-1222, 1-800-662-4357, 1-800-985-5990, 1-800-422-4453, 1-866-331-9474, 1-888-373-7888, 1-800-950-6264, 1-833-852-6262, 1-800-786-2929, 1-800-784-2433, 1-888-628-9454, 1-888-843-4564"),
    "VN": Lines("84", "111, 113, 115, 096 306 1414"),
    "ZA": Lines("27", "112, 116, 10111, 10177, 0800 567 567, 0800 456 789, 0861 322 322, 0800 12 13 14"),
}  # fmt: skip
"""By ISO 3166 country code."""

_SHORT = 5  # as many digits or fewer mean a helpline only beside a word such as "call"
_BETWEEN = "[ .()/\u2011-]{0,2}"  # small on purpose: the pattern must fit into the cache of the expression engine
_CALL = (
    "call|calling|dial|dialling|dialing|text|texting|ring|phone|sms|whatsapp|contact|hotline|helpline|lifeline|emergency|"
    "emergencies|ambulance|police|crisis|telepon|hubungi|darurat|anruf|anrufen|notruf|appelez|llama|llame|"
    "bel|bellen|chiama|ligue|zadzwoń|позвоните|звоните|телефон"
)
_VANITY = "(?:1[ .-]?)?(?:800|833)[ .-]?(?:273[ .-]?TALK|SUICIDE|799[ .-]?SAFE|656[ .-]?HOPE|662[ .-]?HELP|4-?A-?CHILD|TLC-?MAMA)|13 ?HELP"
_SERVICE = "lifeline|hotline|helpline|help line|crisis|emergency|suicide|samaritans|childline|text line"
_KEYPAD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")


def is_helpline(number: str) -> bool:
    """Whether a telephone or text number, written in any way, belongs to a public helpline or emergency service.

    >>> is_helpline("+1 (800) 273-TALK"), is_helpline("+44 116 123"), is_helpline("020 7946 0000")
    (True, True, False)
    """
    number = re.sub(r"^\D*|(?i:\s*(?:ext|ekst|x)\.?\s*\d{1,5})\s*$", "", number.replace("(0)", ""))
    digits = re.sub(r"\D", "", number.upper().translate(_KEYPAD))
    return digits in _dialled() or digits.removeprefix("00") in _dialled()


@cache
def _dialled() -> frozenset[str]:
    """All ways to dial all lines, as digits alone."""
    return frozenset(way for lines in LINES.values() for number in _numbers(lines) for way in _ways(number, lines))


def _numbers(lines: Lines) -> Iterator[str]:
    return (re.sub(r"\D", "", number) for number in lines.numbers.split(","))


def _ways(number: str, lines: Lines) -> Iterator[str]:
    """With and without the trunk prefix (North America and Russia write 1 and 8, most others 0) and the calling code."""
    yield number
    trunk = len(number) == 11 if lines.calling_code in "17" else number[0] == "0" and len(number) > _SHORT
    bare = number[1:] if trunk else number
    if lines.calling_code == "1":
        yield bare
    if len(number) > _SHORT:
        yield lines.calling_code + bare


def _codes_and_numbers() -> tuple[str, str]:
    """Short numbers, and long ones with what may stand between their digits, as pieces of patterns."""
    numbers = sorted({number for lines in LINES.values() for number in _numbers(lines)}, key=lambda n: (-len(n), n))
    codes = "|".join(number for number in numbers if len(number) <= _SHORT)
    long = "|".join(_BETWEEN.join(_optional_one(number)) for number in numbers if len(number) > _SHORT)
    return codes, rf"(?:[1-9][0-9]{{0,2}}{_BETWEEN}(?:\(0\))?{_BETWEEN})?(?:{long})"


def _pattern() -> str:
    """Long numbers anywhere; short ones behind a word such as "call", or before one such as "lifeline"."""
    codes, long = _codes_and_numbers()
    return (
        rf"(?:^|[^0-9]){long}(?:[^0-9]|$)"
        rf"|(?:^|[^a-zA-Z])(?i:{_CALL})[ :(]{{1,2}}(?:[a-zA-Z]+,? ){{0,4}}\*?(?:{codes})(?: [^0-9]|[^0-9 ]|$)"
        rf"|(?:^|[^0-9])(?:{codes}) (?i:{_SERVICE})|{_VANITY}"
    )


@cache
def helpline_numbers() -> re.Pattern[str]:
    """Finds the numbers themselves, short ones too, in a text of which HELPLINE says that it names a helpline."""
    codes, long = _codes_and_numbers()
    return re.compile(rf"{_VANITY}|(?<![0-9])\+?{long}(?![0-9])|(?<![0-9.,/:-])(?:{codes})(?![.,/:-]?[0-9])")


def _optional_one(number: str) -> list[str]:
    """The digits of a number as pieces of a pattern; a trunk prefix may be missing."""
    trunk = number[0] if len(number) > 6 and number[0] in "018" else ""
    return [f"{trunk}?", *number[len(trunk) :]] if trunk else [*number]


HELPLINE = _pattern()
"""Pattern for Polars (linear time) and `re`: the text names a helpline. Borders are part of the match, as Polars cannot look around."""
