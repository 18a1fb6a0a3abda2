"""Identity numbers that a state gives to persons, by country, and dates of birth."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from presidio_analyzer import predefined_recognizers as presidio

from pakar.prepare.helplines import is_helpline
from pakar.prepare.personal.found import Detector, Found
from pakar.prepare.personal.presidio import MAX_SCORE, Match, Pattern, PatternRecognizer, matches
from pakar.prepare.personal.surroundings import PHONE_WORDS, beside, embedded, overlaps, references


class Nik(PatternRecognizer):
    """Indonesian identity number: province, regency and district, birth date (day plus 40 for women), serial number.

    The structure is that of Government Regulation 37/2007; provinces by the codes of the Ministry of Home Affairs. There is no checksum.
    """

    def __init__(self) -> None:
        form = r"(?<![0-9])[0-9]{4}([ .-]?)[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?![0-9])|(?<![0-9])[0-9]{6}([ .-])[0-9]{6}\2[0-9]{4}(?![0-9])"
        super().__init__(
            "ID_NIK", patterns=[Pattern("NIK", form, 0.3)], context=["nik", "ktp", "identity", "induk", "kependudukan"]
        )

    def validate_result(self, pattern_text: str) -> bool:
        """Whether all parts are possible."""
        return _NIK.fullmatch(re.sub(r"[^0-9]", "", pattern_text)) is not None


_NIK = re.compile(
    r"(?:1[1-9]|21|3[1-6]|5[1-3]|6[1-5]|7[1-6]|8[12]|9[1-7])"  # province
    r"(?:0[1-9]|[1-7][0-9])(?:0[1-9]|[1-9][0-9])"  # regency or city, district
    r"(?:0[1-9]|[12][0-9]|3[01]|4[1-9]|[56][0-9]|7[01])(?:0[1-9]|1[0-2])[0-9]{2}"  # day, month, year of birth
    r"(?!0000)[0-9]{4}"
)


class Identity(NamedTuple):
    """A kind of identity number.

    Attributes:
        recogniser: Makes its recogniser.
        candidates: Linear-time pattern of all its written forms.
        distinctive: Its form alone is proof enough: it has letters, or a checksum of more than one digit.
    """

    recogniser: Callable[[], Any]
    candidates: str
    distinctive: bool = False


_NINE = r"[0-9]{3}[ .-]?[0-9]{2,3}[ .-]?[0-9]{3,4}"
_ELEVEN = r"[0-9]{11}"
IDENTITIES: dict[str, tuple[Identity, ...]] = {
    "AU": (
        Identity(presidio.AuTfnRecognizer, r"[0-9]{3}\s?[0-9]{3}\s?[0-9]{3}"),
        Identity(presidio.AuMedicareRecognizer, r"[2-6][0-9]{3}\s?[0-9]{5}\s?[0-9]"),
    ),
    "CA": (Identity(presidio.CaSinRecognizer, _NINE),),
    "DE": (
        Identity(presidio.DeTaxIdRecognizer, _ELEVEN, distinctive=True),
        Identity(presidio.DeSocialSecurityRecognizer, r"[0-9]{8}[A-Za-z][0-9]{3}", distinctive=True),
        Identity(presidio.DeHealthInsuranceRecognizer, r"[A-Za-z][0-9]{9}", distinctive=True),
    ),
    "ES": (
        Identity(presidio.EsNifRecognizer, r"[0-9]{7,8}-?[A-Za-z]", distinctive=True),
        Identity(presidio.EsNieRecognizer, r"[X-Zx-z][0-9]{7}-?[A-Za-z]", distinctive=True),
    ),
    "FI": (Identity(presidio.FiPersonalIdentityCodeRecognizer, r"[0-9]{6}[-+A-Za-z][0-9]{3}[0-9A-Za-z]", distinctive=True),),
    "GB": (
        Identity(presidio.NhsRecognizer, r"[0-9]{3}[- ]?[0-9]{3}[- ]?[0-9]{4}"),
        Identity(presidio.UkNinoRecognizer, r"[A-Za-z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-Da-d]", distinctive=True),
    ),
    "ID": (Identity(Nik, r"[0-9]{4}[ .-]?[0-9]{2}[ .-]?[0-9]{2}[ .-]?[0-9]{4}[ .-]?[0-9]{4}", distinctive=True),),
    "IN": (
        Identity(presidio.InAadhaarRecognizer, r"[0-9]{4}[- :]?[0-9]{4}[- :]?[0-9]{4}"),
        Identity(presidio.InPanRecognizer, r"[A-Za-z]{5}[0-9]{4}[A-Za-z]", distinctive=True),
    ),
    "IT": (Identity(presidio.ItFiscalCodeRecognizer, r"[A-Za-z]{6}[0-9A-Za-z]{2}[A-Za-z][0-9A-Za-z]{2}[A-Za-z][0-9A-Za-z]{3}[A-Za-z]", distinctive=True),),
    "KR": (Identity(presidio.KrRrnRecognizer, r"[0-9]{6}-?[1-4][0-9]{6}"),),
    "NG": (Identity(presidio.NgNinRecognizer, _ELEVEN),),
    "PL": (Identity(presidio.PlPeselRecognizer, _ELEVEN, distinctive=True),),
    "SE": (Identity(presidio.SePersonnummerRecognizer, r"[0-9]{6,8}[-+]?[0-9]{4}"),),
    "SG": (Identity(presidio.SgFinRecognizer, r"[A-Za-z][0-9]{7}[A-Za-z]", distinctive=True),),
    "TH": (Identity(presidio.ThTninRecognizer, r"[1-9][0-9]{12}", distinctive=True),),
    "TR": (Identity(presidio.TrNationalIdRecognizer, _ELEVEN, distinctive=True),),
    "US": (
        Identity(presidio.UsSsnRecognizer, r"[0-9]{3}[ .-]?[0-9]{2}[ .-]?[0-9]{4}"),
        Identity(presidio.UsItinRecognizer, r"9[0-9]{2}[ -]?[0-9]{2}[ -]?[0-9]{4}"),
        Identity(presidio.UsMbiRecognizer, r"[1-9][A-Za-z][0-9A-Za-z][0-9]-?[A-Za-z][0-9A-Za-z][0-9]-?[A-Za-z]{2}[0-9]{2}", distinctive=True),
    ),
    "ZA": (Identity(presidio.ZaIdNumberRecognizer, r"[0-9]{13}", distinctive=True),),
}  # fmt: skip
"""By ISO 3166 country code: the numbers of persons (none of companies) that Presidio checks, and the Indonesian one."""

_PHONE_FORM = re.compile(r"[0-9]{3}-[0-9]{3}-[0-9]{4}")
_LIKELY = 0.5  # Presidio's score of a pattern that needs no words beside it


def national_id(regions: Sequence[str]) -> Detector | None:
    """The identity numbers of these countries; None if none of theirs is known."""
    kinds = [(kind.recogniser(), kind) for region in regions for kind in IDENTITIES.get(region, ())]
    candidates = "|".join(
        kind.candidates for _, kind in kinds
    )  # word borders of Unicode are slow; they are checked later
    return Detector("national-id", candidates, partial(_identities, kinds)) if kinds else None


def _identities(kinds: Sequence[tuple[Any, Identity]], text: str) -> Iterator[Found]:
    for recogniser, kind in kinds:
        for candidate in re.finditer(rf"\b{kind.candidates}\b", text):
            if kind.distinctive or not candidate[0].isdigit() or beside(text, *candidate.span(), recogniser.context):
                for match in matches(recogniser, text, *candidate.span()):
                    if _is_identity(text, match, recogniser.context, kind):
                        yield Found(match.start, match.end, "national-id", verified=match.score == MAX_SCORE)


def _is_identity(text: str, match: Match, words: Sequence[str], kind: Identity) -> bool:
    """Whether form, checksum or words make it one; bare digits without any of them are just a number."""
    start, end, score = match
    if embedded(text, start, end) or is_helpline(text[start:end]) or overlaps(start, end, references(text)):
        return False
    if (kind.distinctive and score >= _LIKELY) or beside(text, start, end, words):
        return True
    separators = set(re.sub(r"[0-9]", "", text[start:end]))
    written = "-" in separators or (bool(separators) and score == MAX_SCORE)
    is_phone = _PHONE_FORM.fullmatch(text, start, end) or beside(text, start, end, PHONE_WORDS)
    return written and score >= _LIKELY and not is_phone
