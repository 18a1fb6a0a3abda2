"""Labels without annotators: rules that are nearly always right mark people and other things; the rest stays unknown.

This is distant supervision (Mintz et al. 2009; for names as in AutoNER, Shang et al. 2018): unknown words take no part in
the loss. A name that a rule finds once marks its words in the whole document.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from name_recogniser.lexicon import Entry, Lexicon
from name_recogniser.lists import LABELS
from pakar.prepare.names.decoding import Token
from pakar.prepare.names.tagger import tokens_of
from pakar.prepare.names.words import folded

OTHER, PERSON, UNKNOWN = 0, 1, 2
OPENERS = frozenset(".!?\"':\n\u201c\u201d\u2018([;")
LIFE = re.compile(r"\(.{0,60}?(born|\d{4} ?[-\u2013]|\d{3,4}\))")
PLACE_BEFORE = frozenset({"in", "at", "from", "to", "near", "of", "via"})
NO_START = frozenset({"the", "in", "on", "at", "and", "but", "as", "for"})


class Run(NamedTuple):
    """Capitalised words in a row: `tokens[first:end]`, from `start` on without titles, and what their neighbours are."""

    first: int
    start: int
    end: int
    words: list[str]
    before: str
    after: str
    second: str
    dotted: bool  # the first word is followed by a dot, as initials are

    @property
    def titled(self) -> bool:
        """Whether it begins with a title."""
        return self.start > self.first

    @property
    def low(self) -> list[str]:
        """The words, folded."""
        return [folded(word) for word in self.words]


class Statistics(NamedTuple):
    """For each word: capitalised runs of people with it, and all capitalised runs with it."""

    people: Counter[str]
    runs: Counter[str]

    def share(self, word: str) -> float:
        """How often the word stands in a person's name."""
        return self.people[word] / max(1, self.runs[word])


class Labeller:
    """Labels documents by the rules.

    Args:
        lexicon: What is known of words.
        regions: Folded names of places and peoples that are seldom people's names.
    """

    def __init__(self, lexicon: Lexicon, regions: Iterable[str]) -> None:
        self._lexicon, self._regions = lexicon, frozenset(regions)
        self._statistics = Statistics(Counter(), Counter())

    def learn(self, texts: Iterable[str]) -> None:
        """First pass: count which words stand in names that are certain."""
        for text in texts:
            tokens = tokens_of(text)
            for run in self._runs(tokens):
                self._statistics.runs.update(folded(t.word) for t in tokens[run.first : run.end] if t.word[0].isalpha())
                if self._certain(run, ()) == PERSON:
                    self._statistics.people.update(run.low)

    def label(self, text: str) -> tuple[list[Token], list[int]]:
        """Second pass: words and their labels."""
        tokens = tokens_of(text)
        runs = self._runs(tokens)
        lead = self._lead(tokens, text, runs)
        kinds = [self._certain(run, lead) for run in runs]
        here: Counter[str] = Counter([lead[0], lead[-1]] * 2 if lead else [])
        for run, kind in zip(runs, kinds, strict=True):
            whole = [folded(word) for word in run.words if len(word) > 1 and word[0].isupper()]
            if kind == PERSON and whole:
                here.update((whole[0], whole[-1]))
        labels = [OTHER] * len(tokens)
        for run, kind in zip(runs, kinds, strict=True):
            final = self._by_document(run, here) if kind == UNKNOWN and run.words else kind
            labels[run.start : run.end] = [final] * (run.end - run.start)
        return tokens, labels

    def _entry(self, word: str) -> Entry:
        return self._lexicon.get(folded(word), Entry())

    def _runs(self, tokens: Sequence[Token]) -> list[Run]:
        runs = []
        at = 0
        while at < len(tokens):
            if not self._opens(tokens, at):
                at += 1
                continue
            end = at + 1
            while (step := _goes_on(tokens, end)) > 0:
                end += step
            runs.append(_run(tokens, at, end))
            at = end
        return runs

    def _opens(self, tokens: Sequence[Token], at: int) -> bool:
        word = tokens[at].word
        if not _capital(word):
            return False
        if word == "I":
            return at + 1 < len(tokens) and tokens[at + 1].word == "."
        if at and tokens[at - 1].word[0] not in OPENERS:
            return True
        entry = self._entry(word)
        ordinary = entry.case in {1, 2} and not entry.given == entry.surname == 2
        return not ordinary and folded(word) not in NO_START

    def _lead(self, tokens: Sequence[Token], text: str, runs: Sequence[Run]) -> tuple[str, ...]:
        """The person of a biography: a name before a bracket with years of life, near the beginning."""
        for run in runs[:4]:
            if run.after != "(" or tokens[run.first].start >= 300:
                continue
            bracket = text[tokens[run.end].start :][:90]
            name = tuple(folded(t.word) for t in tokens[run.first : run.end] if t.word[0].isalpha())
            known = self._entry(name[0]).given or "born" in bracket[:60]
            if LIFE.match(bracket) and 2 <= len(name) <= 5 and known and not LABELS["organisations"].intersection(name):
                return name
        return ()

    def _certain(self, run: Run, lead: tuple[str, ...]) -> int:
        """What the run is by its own words and neighbours."""
        low = run.low
        heads = LABELS["eponym_heads"]
        if not low or LABELS["organisations"].intersection(low):
            return OTHER
        if run.after in heads or (run.after in {"'s", "\u2019s"} and run.second in heads):
            return UNKNOWN if run.titled else OTHER
        if all(word.isupper() and len(word) > 1 for word in run.words):
            entry = self._entry(run.words[0])
            return UNKNOWN if len(low) > 1 or entry.given or entry.surname else OTHER
        return UNKNOWN if "&" in (run.before, run.after) else self._by_length(run, low, lead)

    def _by_length(self, run: Run, low: Sequence[str], lead: tuple[str, ...]) -> int:
        capitals = sum(map(_capital, run.words))
        if run.titled and capitals <= 3:
            return self._titled(low)
        if capitals == 1:
            return self._single(run, low[0])
        return self._several(run, low, lead) if capitals <= 5 else UNKNOWN

    def _titled(self, low: Sequence[str]) -> int:
        first, last = self._entry(low[0]), self._entry(low[-1])
        if len(low) == 1 and low[0] in self._regions and not first.given and not first.surname:
            return OTHER
        return UNKNOWN if last.case == 1 else PERSON

    def _several(self, run: Run, low: Sequence[str], lead: tuple[str, ...]) -> int:
        first, last = self._entry(low[0]), self._entry(low[-1])
        if lead and tuple(low) == lead:
            return PERSON
        if low[0] in self._regions and first.given < 2:
            return OTHER
        if run.before in {"the", "a", "an"} or low[-1] in self._regions:
            return UNKNOWN
        if run.dotted and len(low[0]) == 1 and len(low[-1]) > 2 and _may_be_surname(low[-1], last):
            return PERSON
        return self._given_and_surname(low, first, last)

    def _given_and_surname(self, low: Sequence[str], first: Entry, last: Entry) -> int:
        given = first.given and (first.case in {0, 3, 4} or (first.given == 2 and first.case == 2 and last.surname))
        listed = first.given == 2 or last.surname or not last.place
        never = LABELS["never"].intersection((low[0], low[-1]))
        return PERSON if given and listed and not never and _may_be_surname(low[-1], last) else UNKNOWN

    def _single(self, run: Run, word: str) -> int:
        entry = self._entry(word)
        listed = entry.given or entry.surname
        if word in LABELS["never"] or (word in self._regions and not entry.given) or entry.case == 1:
            return OTHER
        if run.before in {"the", "a", "an", "this", "these", "any", "every"}:
            return OTHER
        return PERSON if run.after in LABELS["verbs"] and listed and entry.case in {0, 3, 4} else UNKNOWN

    def _by_document(self, run: Run, here: Counter[str]) -> int:
        """What an uncertain run is by its document and by the whole corpus."""
        if len(run.words) == 1 and not run.titled:
            return self._single_by_document(run, run.low[0], here)
        low = run.low
        shares = [self._statistics.share(word) for word in low if len(word) > 1]
        if not shares:
            return UNKNOWN
        given = any(self._entry(word).given for word in low)
        frequent = all(self._statistics.runs[word] >= 6 for word in low)
        if max(shares) < 0.04 and (frequent or (not given and max(shares) < 0.03)):
            return OTHER
        first = self._entry(low[0]).given
        usual = 2 <= len(low) <= 4 and min(shares) > 0.5 and run.before not in {"the", "a"}
        return PERSON if first and (usual or (here[low[-1]] and low[-1] not in self._regions)) else UNKNOWN

    def _single_by_document(self, run: Run, word: str, here: Counter[str]) -> int:
        entry, share, seen = self._entry(word), self._statistics.share(word), self._statistics.runs[word]
        if len(word) == 1:
            return UNKNOWN if run.after == "." else OTHER
        if here[word] and (share > 0.3 or (entry.case in {0, 3, 4} and word not in self._regions)):
            return PERSON
        if seen >= 15 and share < 0.03:
            return OTHER
        if (entry.given == 2 and entry.case in {0, 4} and share > 0.35) or (seen >= 8 and share > 0.6):
            return PERSON
        strange = not entry.given and not entry.surname and seen >= 5 and share < 0.03
        return OTHER if strange or (not entry.given and entry.place and run.before in PLACE_BEFORE) else UNKNOWN


def _may_be_surname(word: str, entry: Entry) -> bool:
    return (len(word) > 1 and entry.case not in {1, 2}) or (entry.surname == 2 and entry.case != 1)


def _capital(word: str) -> bool:
    return word[0].isupper() and word[0].isalpha()


def _word(tokens: Sequence[Token], at: int) -> str:
    return folded(tokens[at].word) if 0 <= at < len(tokens) else ""


def _run(tokens: Sequence[Token], first: int, end: int) -> Run:
    start = first
    while start < end and (_word(tokens, start) in LABELS["titles"] or (tokens[start].word == "." and start > first)):
        start += 1
    words = [token.word for token in tokens[start:end] if token.word[0].isalpha()]
    dotted = _word(tokens, start + 1) == "."
    return Run(first, start, end, words, _word(tokens, first - 1), _word(tokens, end), _word(tokens, end + 1), dotted)


def _goes_on(tokens: Sequence[Token], at: int) -> int:
    """How many tokens from `at` on belong to the run before: initials' dots, hyphens, particles, capitalised words."""
    if at >= len(tokens) or tokens[at].start - tokens[at - 1].end > 1:
        return 0
    token, before = tokens[at], tokens[at - 1].word
    follows = at + 1 < len(tokens) and _capital(tokens[at + 1].word)
    if token.word == "." and token.glued and follows:
        return int(len(before) == 1 or folded(before) in LABELS["abbreviated_titles"])
    if token.word == "-" and token.glued and follows:
        return int(tokens[at + 1].glued)
    if _capital(token.word):
        return int(token.word != "I")
    return _particles(tokens, at)


def _particles(tokens: Sequence[Token], at: int) -> int:
    end = at
    while end < min(len(tokens), at + 3) and tokens[end].word.lower() in LABELS["particles"]:
        end += 1
    closed = (
        end > at and end < len(tokens) and _capital(tokens[end].word) and tokens[end].start - tokens[end - 1].end <= 1
    )
    return end + 1 - at if closed else 0
