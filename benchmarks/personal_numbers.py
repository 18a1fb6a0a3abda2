"""Numbers with and without a right checksum, as people write them, from a seed. Written from the standards, not from the recognisers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import NamedTuple

SENTENCES = [
    "My {what} is {value}.",
    "{what}: {value}",
    "please use {value} for this ({what})",
    "({value}) {what}",
    "It was {value}, as I said; the {what} of my mother.",
    "The {what} you asked for:\n{value}\nBest wishes",
    "– {value} – is the {what} für Müller 😀",
]
CARDS = {
    "4": 16,
    "51": 16,
    "55": 16,
    "2221": 16,
    "2720": 16,
    "34": 15,
    "37": 15,
    "6011": 16,
    "65": 16,
    "3528": 16,
    "36": 14,
    "6221": 19,
}
# Country, and its account number as the ISO 13616 registry has it: n digits, a capital letters, c either.
ACCOUNTS = [
    "AT n16", "BE n12", "CH n5c12", "CZ n20", "DE n18", "DK n14", "ES n20", "FI n14", "FR n10c11n2", "GB a4n14", "GR n7c16", "HU n24", "IE a4n14",
    "IT a1n10c12", "LU n3c13", "MT a4n5c18", "NL a4n10", "NO n11", "PL n24", "PT n21", "RO a4c16", "SA n2c18", "SE n20", "TR n6c16", "AE n19",
]  # fmt: skip
_PROVINCES = ["11", "12", "13", "14", "15", "16", "17", "18", "19", "21", "31", "32", "33", "34", "35", "36", "51", "52", "53", "61", "62", "63", "64", "65", "71", "72", "73", "74", "75", "76", "81", "82"]  # fmt: skip
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


class Case(NamedTuple):
    """A sentence that holds `value`."""

    text: str
    value: str


def cases(kind: str, count: int, *, right: bool, seed: int = 0) -> Iterator[Case]:
    """Sentences with numbers of a kind; unless `right`, one character of each is changed so that the checksum is wrong."""
    numbers = random.Random(f"{seed} {kind} {right}")
    what, make = KINDS[kind]
    for _ in range(count):
        value = make(numbers) if right else _spoilt(make(numbers), numbers)
        yield Case(numbers.choice(SENTENCES).format(what=what, value=value), value)


def _spoilt(value: str, numbers: random.Random) -> str:
    """All these checksums notice one wrong character; the first four stay, so that it still looks like its kind."""
    place = numbers.choice([n for n, character in enumerate(value) if character.isalnum() and n > 4])
    like = "23456789" if value[place].isdigit() else "acdefghj"
    other = numbers.choice(like.replace(value[place].lower(), ""))
    return value[:place] + (other.upper() if value[place].isupper() else other) + value[place + 1 :]


def _digits(numbers: random.Random, count: int) -> str:
    return "".join(numbers.choices("0123456789", k=count))


def _grouped(value: str, groups: list[int], separator: str) -> str:
    pieces, at = [], 0
    for group in groups:
        pieces.append(value[at : at + group])
        at += group
    return separator.join(piece for piece in [*pieces, value[at:]] if piece)


def card(numbers: random.Random) -> str:
    """By the Luhn formula of ISO/IEC 7812-1."""
    prefix = numbers.choice(list(CARDS))
    body = prefix + _digits(numbers, CARDS[prefix] - len(prefix) - 1)
    total = sum(sum(divmod(int(digit) * (2 - n % 2), 10)) for n, digit in enumerate(reversed(body)))
    groups = [4, 6] if CARDS[prefix] in (14, 15) else [4, 4, 4, 4]
    return _grouped(body + str(-total % 10), groups, numbers.choice(["", " ", "-"]))


def iban(numbers: random.Random) -> str:
    """By mod 97-10 of ISO/IEC 7064."""
    country, form = numbers.choice(ACCOUNTS).split()
    letters = {"n": "0123456789", "a": "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "c": "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
    account = ""
    for part in form.replace("n", " n").replace("a", " a").replace("c", " c").split():
        account += "".join(numbers.choices(letters[part[0]], k=int(part[1:])))
    check = 98 - int("".join(str(int(character, 36)) for character in f"{account}{country}00")) % 97
    written = _grouped(f"{country}{check:02}{account}", [4] * 9, numbers.choice(["", " ", "-"]))
    return written.lower() if numbers.random() < 0.1 else written


def nhs(numbers: random.Random) -> str:
    """By the modulus 11 of the NHS Data Dictionary."""
    while True:
        body = numbers.choice("4679") + _digits(numbers, 8)
        check = -sum(int(digit) * weight for digit, weight in zip(body, range(10, 1, -1), strict=True)) % 11
        if check < 10:
            return f"{body[:3]} {body[3:6]} {body[6:]}{check}"


def nhs_otherwise(numbers: random.Random) -> str:
    """The same number in the forms that many other numbers have."""
    return nhs(numbers).replace(" ", numbers.choice(["", "-"]))


def pesel(numbers: random.Random) -> str:
    """Polish number with birth date and weighted sum."""
    body = f"{numbers.randint(40, 99)}{numbers.randint(1, 12):02}{numbers.randint(1, 28):02}{_digits(numbers, 4)}"
    return body + str(-sum(int(d) * w for d, w in zip(body, [1, 3, 7, 9] * 3, strict=False)) % 10)


def nik(numbers: random.Random) -> str:
    """Indonesian number: place, birth date (women: day plus 40), serial. It has no checksum."""
    day = numbers.randint(1, 28) + numbers.choice([0, 40])
    place = f"{numbers.choice(_PROVINCES)}{numbers.randint(1, 79):02}{numbers.randint(1, 40):02}"
    value = f"{place}{day:02}{numbers.randint(1, 12):02}{_digits(numbers, 2)}{numbers.randint(1, 9999):04}"
    return _grouped(value, *numbers.choice([([], ""), ([4, 4, 4], " "), ([6, 6], ".")]))


def wallet(numbers: random.Random) -> str:
    """Bitcoin: base58check of version 0 or 5, or bech32 (BIP 173) of witness version 0."""
    if numbers.random() < 0.5:
        payload = bytes([numbers.choice([0, 5])]) + numbers.randbytes(20)
        data = payload + sha256(sha256(payload).digest()).digest()[:4]
        number, text = int.from_bytes(data, "big"), ""
        while number:
            number, rest = divmod(number, 58)
            text = _BASE58[rest] + text
        return "1" * (len(data) - len(data.lstrip(b"\0"))) + text
    bits = "".join(f"{byte:08b}" for byte in numbers.randbytes(20))
    values = [0, *(int(bits[n : n + 5], 2) for n in range(0, 160, 5))]
    check = _polymod([3, 3, 0, 2, 3, *values, 0, 0, 0, 0, 0, 0]) ^ 1
    return "bc1" + "".join(_BECH32[v] for v in [*values, *(check >> 5 * (5 - n) & 31 for n in range(6))])


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for n, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            checksum ^= generator if top >> n & 1 else 0
    return checksum


KINDS: dict[str, tuple[str, Callable[[random.Random], str]]] = {
    "credit-card": ("card", card),
    "iban": ("account", iban),
    "national-id (NHS 943 476 5919)": ("NHS number", nhs),
    "national-id (NHS bare or with dashes)": ("NHS number", nhs_otherwise),
    "national-id (PESEL)": ("PESEL", pesel),
    "national-id (NIK)": ("NIK", nik),
    "crypto-wallet": ("wallet", wallet),
}
"""What each is called in a sentence, and how one is made."""
