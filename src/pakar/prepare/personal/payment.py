"""Numbers with a checksum: credit cards, bank accounts, wallets of crypto currencies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from presidio_analyzer import predefined_recognizers as presidio

from pakar.prepare.personal.found import Detector, Found
from pakar.prepare.personal.presidio import MAX_SCORE, Pattern, PatternRecognizer, Recogniser, matches
from pakar.prepare.personal.surroundings import embedded

_SPACES = " \u00a0\u2009\u202f"
_DASHES = "-\u2010\u2011\u2012\u2013"
_SEPARATORS = [(mark, "") for mark in _SPACES + _DASHES + "."]
_ONE = f"[{_SPACES}.{_DASHES[1:]}-]?"
_CARD = f"[0-9](?:{_ONE}[0-9]){{11,}}"
_CARD_FORMS = [
    Pattern("groups of four", rf"(?<![0-9])[0-9]{{4}}({_ONE})[0-9]{{4}}\1[0-9]{{4}}\1[0-9]{{1,4}}(?![0-9])", 0.3),
    Pattern("19 digits", rf"(?<![0-9])(?:[0-9]{{4}}({_ONE})){{2}}[0-9]{{4}}\1[0-9]{{4}}\1[0-9]{{3}}(?![0-9])", 0.3),
    Pattern("4-6-4 and 4-6-5", rf"(?<![0-9])[0-9]{{4}}({_ONE})[0-9]{{6}}\1[0-9]{{4,5}}(?![0-9])", 0.3),
    Pattern("4-3-3-3", rf"(?<![0-9])[0-9]{{4}}({_ONE})[0-9]{{3}}\1[0-9]{{3}}\1[0-9]{{3}}(?![0-9])", 0.3),
    Pattern("no separators", r"(?<![0-9])[0-9]{12,19}(?![0-9])", 0.3),
]
# First digits and lengths that ISO/IEC 7812 leaves to banks and merchants; finer tables of issuers are never complete.
_ISSUERS = re.compile(r"[2-6][0-9]{11,18}|(?:0604|1800|8[01])[0-9]{8,17}|1[0-9]{14}")


class Cards(presidio.CreditCardRecognizer):
    """Presidio's card recogniser, with all written forms; the first digits keep out numbers that banks do not give out."""

    def validate_result(self, pattern_text: str) -> bool:
        """Whether a bank may have given the number out and the Luhn checksum is right."""
        digits = "".join(filter(str.isdigit, pattern_text))
        return _ISSUERS.fullmatch(digits) is not None and len(set(digits)) > 1 and super().validate_result(digits)


def credit_card() -> Detector:
    """Card numbers by issuer, length and Luhn checksum."""
    recogniser = Cards(patterns=_CARD_FORMS, replacement_pairs=_SEPARATORS)
    return Detector("credit-card", _CARD, partial(_cards, recogniser))


def _cards(recogniser: Recogniser, text: str) -> Iterator[Found]:
    for candidate in re.finditer(_CARD, text):
        for match in matches(recogniser, text, candidate.start(), candidate.end()):
            if not embedded(text, match.start, match.end):
                yield Found(match.start, match.end, "credit-card", verified=True)


_ONE_IBAN = f"[{_SPACES}{_DASHES[1:]}-]?"
_IBAN = rf"[A-Za-z]{{2}}[0-9]{{2}}(?:{_ONE_IBAN}[A-Za-z0-9]){{11}}"
_IBAN_LENGTHS = range(34, 14, -1)
_CHARACTER = re.compile(rf"{_ONE_IBAN}([A-Za-z0-9])")


# Countries of the ISO 13616 registry that Presidio's table lacks, or has with another length: the length of their numbers.
_REGISTERED = {
    "BI": 27, "DJ": 27, "FK": 18, "MN": 20, "MU": 30, "NI": 28, "OM": 23, "PS": 29, "PT": 25, "QA": 29, "RU": 33, "SD": 18, "SO": 23,
    "ST": 25, "SV": 28, "YE": 30,
}  # fmt: skip


class Ibans(presidio.IbanRecognizer):
    """Presidio's recogniser of bank accounts with the countries that it does not know."""

    def validate_result(self, pattern_text: str) -> bool:
        """Whether the number has its country's form, and 97 divides it as ISO/IEC 7064 asks."""
        if _REGISTERED.get(pattern_text[:2]) == len(pattern_text):
            digits = "".join(str(int(character, 36)) for character in pattern_text[4:] + pattern_text[:4])
            return int(digits) % 97 == 1
        return super().validate_result(pattern_text) is True


def iban() -> Detector:
    """Bank accounts (ISO 13616) by their country's form and the mod 97 checksum."""
    return Detector("iban", _IBAN, partial(_ibans, Ibans(exact_match=True)))


def _ibans(recogniser: Ibans, text: str) -> Iterator[Found]:
    for candidate in re.finditer(rf"\b{_IBAN}", text):
        ends = _ends(text, candidate.start())
        for length in _IBAN_LENGTHS:
            if length <= len(ends) and _is_iban(recogniser, text, candidate.start(), ends[length - 1]):
                yield Found(candidate.start(), ends[length - 1], "iban", verified=True)
                break


def _ends(text: str, start: int) -> list[int]:
    """Where the first, second, ... letter or digit from `start` on ends, single separators between them left out."""
    ends: list[int] = []
    while len(ends) < _IBAN_LENGTHS[0] and (match := _CHARACTER.match(text, ends[-1] if ends else start)):
        ends.append(match.end())
    return ends


def _is_iban(recogniser: Ibans, text: str, start: int, end: int) -> bool:
    if embedded(text, start, end):
        return False
    value = re.sub(r"[^A-Za-z0-9]", "", text[start:end])
    return recogniser.validate_result(value.upper())


_BITCOIN = r"(?:bc1|[13])[a-zA-HJ-NP-Z0-9]{25,87}"
_ETHEREUM = r"0[xX][0-9a-fA-F]{40}"
_WALLET = f"{_BITCOIN}|{_ETHEREUM}"


def crypto_wallet() -> Detector:
    """Bitcoin addresses by their checksum (base58check, bech32, bech32m) and Ethereum addresses by their form."""
    bitcoin = presidio.CryptoRecognizer(patterns=[Pattern("Bitcoin", rf"\b{_BITCOIN}\b", 0.5)])
    ethereum = PatternRecognizer("CRYPTO", patterns=[Pattern("Ethereum", rf"\b{_ETHEREUM}\b", 0.9)])
    return Detector("crypto-wallet", _WALLET, partial(_wallets, [bitcoin, ethereum]))


def _wallets(recognisers: list[Recogniser], text: str) -> Iterator[Found]:
    for candidate in re.finditer(rf"\b(?:{_WALLET})\b", text):
        for recogniser in recognisers:
            for match in matches(recogniser, text, *candidate.span()):
                yield Found(match.start, match.end, "crypto-wallet", verified=match.score == MAX_SCORE)
