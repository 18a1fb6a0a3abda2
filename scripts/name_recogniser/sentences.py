"""Sentences with invented people, places and things, from the patterns in `sentences.txt`."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from name_recogniser.lists import NAMES, SENTENCES
from name_recogniser.names import Pool

ENGLISH = ("en_US", "en_GB", "m_en", "en", "en_IE", "en_NZ", "m_en-au")
INITIALS = "ABCDEFGHJKLMNPRSTVWZ"
SLOT = re.compile(r"\{(\w)\}")
PEOPLE = frozenset("nfliN")

Span = tuple[int, int, int]
"""Start, end, label."""


class Writer:
    """Writes sentences.

    Args:
        rng: Where chance comes from.
        pools: Names by locale.
        places: Names of places.
        made_up: Streets, companies and cities by locale.
    """

    def __init__(
        self,
        rng: random.Random,
        pools: Mapping[str, Pool],
        *,
        places: Sequence[str],
        made_up: Sequence[Mapping[str, list[str]]],
    ) -> None:
        self._rng, self._places, self._made_up = rng, places, made_up
        own = [Pool(names["given"], names["surnames"]) for names in NAMES.values()]
        self._pools = [pool for pool in pools.values() if len(pool.given) >= 20 and len(pool.surnames) >= 20] + own
        self._english = [pools[locale] for locale in ENGLISH]
        lines = Path(__file__).with_name("sentences.txt").read_text("utf-8").splitlines()
        self._patterns = [line.replace("\\n", "\n") for line in lines if line and not line.startswith("#")]
        self._slots: dict[str, Callable[[Pool], str]] = {
            "n": self.whole, "f": self.given, "l": self.surname, "i": self._initials, "N": self._surname_first,
            "t": lambda _: rng.choice(SENTENCES["titles"]), "c": lambda _: self._place(),
            "o": lambda _: self._organisation(), "s": lambda _: self._street(), "a": lambda _: self._made("address"),
            "e": lambda _: self._eponym(), "p": lambda _: rng.choice(SENTENCES["products"]),
            "m": lambda _: rng.choice(SENTENCES["months"]), "d": lambda _: rng.choice(SENTENCES["weekdays"]),
            "x": lambda _: self._number(), "g": self.given, "k": self.surname,
            "q": lambda _: "".join(rng.choices(string.ascii_uppercase, k=rng.choice([2, 3, 3, 3, 4, 4, 5]))),
        }  # fmt: skip

    def sentence(self) -> tuple[str, list[Span]]:
        """A sentence and the people in it; half of the time all of them come from one locale."""
        pattern = self._rng.choice(self._patterns)
        shared = self.locale() if self._rng.random() < 0.5 else None
        text = ""
        spans: list[Span] = []
        for n, piece in enumerate(SLOT.split(pattern)):
            start = len(text)
            text += self._slots[piece](shared or self.locale()) if n % 2 else piece
            if n % 2 and piece in PEOPLE:
                spans.append((start, len(text), 1))
        return text, spans

    def locale(self) -> Pool:
        """A locale; a third of them English."""
        return self._rng.choice(self._english if self._rng.random() < 0.35 else self._pools)

    def given(self, pool: Pool) -> str:
        """A given name."""
        return _capitalised(self._rng.choice(pool.given))

    def surname(self, pool: Pool) -> str:
        """A surname: some are spliced from two halves, double, or have a particle."""
        x = self._rng.random()
        name = _capitalised(self._rng.choice(pool.surnames) if x > 0.12 else self._spliced())
        if x > 0.97:
            return f"{name}-{_capitalised(self._rng.choice(pool.surnames))}"
        return self._rng.choice(SENTENCES["surname_particles"]) + name if x > 0.95 else name

    def whole(self, pool: Pool) -> str:
        """Given name and surname, some with a middle name, an initial, two surnames or a "Jr."."""
        r = self._rng.random()
        first = self.given(pool)
        if r < 0.08:
            first += " " + self.given(pool)
        elif r < 0.16:
            first += f" {self._rng.choice(INITIALS)}."
        elif r < 0.18:
            first += "-" + self.given(pool)
        last = self.surname(pool)
        if r > 0.97:
            last += " " + self.surname(pool)
        elif r > 0.955:
            last += self._rng.choice([" Jr.", " III", " Jr", " II", " Sr."])
        return f"{first} {last}"

    def _initials(self, pool: Pool) -> str:
        a, b = self._rng.choices(INITIALS, k=2)
        return self._rng.choice([f"{a}. ", f"{a}. {b}. ", f"{a}.{b}. ", f"{a} ", f"{a}. "]) + self.surname(pool)

    def _surname_first(self, pool: Pool) -> str:
        return f"{self.surname(pool)}, {self.given(pool)}"

    def _spliced(self) -> str:
        a, b = (self._rng.choice(self.locale().surnames) for _ in range(2))
        return a if " " in a + b else a[: max(2, len(a) // 2)] + b[len(b) // 2 :].lower()

    def _place(self) -> str:
        x = self._rng.random()
        if x < 0.2:
            return self._made("city")
        return self._rng.choice(SENTENCES["places"] if x < 0.68 else self._places)

    def _organisation(self) -> str:
        x = self._rng.random()
        if x < 0.3:
            return self._rng.choice(SENTENCES["organisations"])
        if x < 0.55:
            return self._made("company")
        if x < 0.75:
            return self._rng.choice(SENTENCES["organisation_forms"]).format(
                *(self.surname(self.locale()) for _ in range(3))
            )
        return self._rng.choice(SENTENCES["place_organisation_forms"]).format(self._place())

    def _street(self) -> str:
        if self._rng.random() < 0.6:
            return self._made(self._rng.choice(["street_address", "street_address", "street_name"]))
        name = self.surname(self.locale()) if self._rng.random() < 0.75 else self.whole(self.locale())
        return self._rng.choice(SENTENCES["street_forms"]).format(self._rng.randint(1, 999), name)

    def _eponym(self) -> str:
        x = self._rng.random()
        if x < 0.7:
            return self._rng.choice(SENTENCES["eponyms"])
        head, name = self._rng.choice(SENTENCES["eponym_heads"]), self.surname(self.locale())
        if x < 0.82:
            return f"{name}'s {head}"
        return f"{name} {head}" if x < 0.91 else f"{name}-{self.surname(self.locale())} {head}"

    def _made(self, kind: str) -> str:
        return self._rng.choice(self._rng.choice([values[kind] for values in self._made_up if values[kind]]))

    def _number(self) -> str:
        return str(
            self._rng.choice([self._rng.randint(*r) for r in ((1, 99), (1, 31), (1900, 2024), (10_000, 99_999))])
        )


def _capitalised(name: str) -> str:
    name = name.title() if name.isupper() and len(name) > 2 else name
    return name[0].upper() + name[1:]
