"""What is known of words: whether name and place lists hold them, and how often they are capitalised inside sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from name_recogniser.lists import LABELS
from name_recogniser.names import Pool
from pakar.prepare.names.words import CASE, GIVEN, PLACE, SURNAME, WORD, folded

SENTENCE_ENDS = frozenset(".!?\"':\n“”")
SELDOM, RARE = 4, 6
SHARES = (0.03, 0.4, 0.9)


class Entry(NamedTuple):
    """See `words.PLACE`."""

    given: int = 0
    surname: int = 0
    case: int = 0
    place: int = 0

    @property
    def number(self) -> int:
        """The entry as it is stored."""
        return self.given * GIVEN + self.surname * SURNAME + self.case * CASE + self.place * PLACE


Lexicon = Mapping[str, Entry]


def count(texts: Iterable[str]) -> tuple[Counter[str], Counter[str]]:
    """How often each word stands in lower case, and capitalised inside a sentence."""
    lower: Counter[str] = Counter()
    capital: Counter[str] = Counter()
    for text in texts:
        before = "."
        for word in WORD.findall(text):
            if word[0].islower():
                lower[folded(word)] += 1
            elif word[0].isalpha() and before[0] not in SENTENCE_ENDS:
                capital[folded(word)] += 1
            before = word
    return lower, capital


def build(
    pools: Mapping[str, Pool], tags: Mapping[str, set[str]], places: Iterable[str], texts: Iterable[str]
) -> dict[str, Entry]:
    """The lexicon: every listed name and place, and every word seen often enough."""
    given = _listed((pool.given for pool in pools.values()), tags, ("MaleName", "FemaleName", "FirstName"))
    surnames = _listed((pool.surnames for pool in pools.values()), tags, ("LastName",))
    named = ("City", "Country", "Region", "Place", "Demonym")
    area = {p for text in [*places, *(t for tag in named for t in tags[tag])] for p in parts(text)}
    lower, capital = count(texts)
    lexicon = {}
    for word in given.keys() | surnames.keys() | area | lower.keys() | capital.keys():
        name = word not in LABELS["not_names"]
        entry = Entry(
            min(2, given[word]) * name, min(2, surnames[word]) * name, _case(lower[word], capital[word]), word in area
        )
        if len(word) > 1 and (entry.given or entry.surname or entry.place or lower[word] + capital[word] >= RARE):
            lexicon[word] = entry
    return lexicon


def parts(text: str) -> list[str]:
    """The folded words of a name."""
    return [folded(word) for word in WORD.findall(text) if word[0].isalpha()]


def _listed(lists: Iterable[list[str]], tags: Mapping[str, set[str]], wanted: Iterable[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for names in lists:
        found.update({part for name in names for part in parts(name)})
    for name in set().union(*(tags[tag] for tag in wanted)):
        found.update(parts(name) * 2)
    return found


def _case(lower: int, capital: int) -> int:
    total = lower + capital
    return 0 if total < SELDOM else 1 + sum(capital / total >= share for share in SHARES)
