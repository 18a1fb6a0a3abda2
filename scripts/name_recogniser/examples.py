"""Training examples: corpus documents with labels, sentences from patterns, and social texts with given labels."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from name_recogniser.lexicon import Entry, Lexicon
from name_recogniser.sentences import Span, Writer
from pakar.prepare.names.tagger import tokens_of
from pakar.prepare.names.words import UNLISTED, code, entry_features, features, folded

ROWS = 32_768
LONGEST = 120
WORD, LEXICON, SPELLING = 0, 1, 2
"""Groups of features; the first two are dropped at random in training."""

TRAINED_ON = 2000
"""Texts of WNUT-17 that are trained on; the later ones are for measuring."""


class Examples(NamedTuple):
    """Sequences of words one after the other; sequence `n` is `[starts[n]:starts[n + 1]]`."""

    words: NDArray[np.int32]
    glued: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    starts: NDArray[np.int64]
    features: NDArray[np.int32]  # of all different words; those of word `n` are `[ends[n]:ends[n + 1]]`
    groups: NDArray[np.uint8]
    ends: NDArray[np.int64]


class Collector:
    """Collects examples; changes the case of a few texts so that headlines and carelessly written texts are known."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._known: dict[str, int] = {}
        self._rows: list[tuple[int, int, int]] = []
        self._starts = [0]

    def add(self, text: str, spans: Sequence[Span], *, recase: bool = True) -> None:
        """Add a text; labels hold for the words that begin inside a span."""
        changed = self._recased(text) if recase else text
        rows = []
        at = 0
        for token in tokens_of(changed if len(changed) == len(text) else text):
            while at < len(spans) and spans[at][1] <= token.start:
                at += 1
            label = spans[at][2] if at < len(spans) and spans[at][0] <= token.start else 0
            rows.append((self._known.setdefault(token.word, len(self._known)), int(token.glued), label))
        for start in range(0, len(rows), LONGEST):
            if len(part := rows[start : start + LONGEST]) > 1:
                self._rows += part
                self._starts.append(len(self._rows))

    def examples(self, lexicon: Lexicon) -> Examples:
        """All that was added."""
        words, glued, labels = np.array(self._rows, np.int32).T
        flat, ends = [], [0]
        for word in self._known:
            flat += list(bag(word, lexicon))
            ends.append(len(flat))
        rows, groups = np.array(flat, np.int32).T
        return Examples(
            words, glued.astype(np.uint8), labels.astype(np.uint8), np.array(self._starts), rows, groups.astype(np.uint8), np.array(ends)
        )  # fmt: skip

    def _recased(self, text: str) -> str:
        x = self._rng.random()
        if x < 0.03:
            return text.upper()
        if x < 0.11:
            return text.lower()
        return re.sub(r"(?<![\w'\u2019])[a-z]", lambda m: m.group().upper(), text) if x < 0.125 else text


def bag(word: str, lexicon: Lexicon) -> Iterator[tuple[int, int]]:
    """Row and group of each feature of a word."""
    entry = lexicon.get(folded(word))
    first, *others = features(word)
    yield code(first) % ROWS, WORD
    for name in entry_features(UNLISTED if entry is None else entry.number):
        yield code(name) % ROWS, LEXICON
    for name in others:
        yield code(name) % ROWS, SPELLING


def paragraphs(text: str, spans: Sequence[Span]) -> Iterator[tuple[str, list[Span]]]:
    """The parts between empty lines with their spans."""
    for match in re.finditer(r"[^\n]+(?:\n[^\n]+)*", text):
        start, end = match.span()
        yield match.group(), [(a - start, b - start, label) for a, b, label in spans if a >= start and b <= end]


def worth_reading(text: str, spans: Sequence[Span], rng: random.Random) -> bool:
    """Keeps texts with names, half of those with other capitalised words, and a few of the rest."""
    if len(text) < 15:
        return False
    return bool(spans) or rng.random() < (0.5 if re.search(r"(?<=[a-z,] )[A-Z]", text) else 0.15)


def renamed(text: str, spans: Sequence[Span], writer: Writer, lexicon: Lexicon) -> tuple[str, list[Span]]:
    """The text with other people in it, each word of a name always replaced by the same one."""
    people = [text[start:end].split() for start, end, label in spans if label == 1]
    surnames = {words[-1] for words in people if len(words) > 1}
    chosen: dict[str, str] = {}
    pool = writer.locale()

    def replace(word: str, *, last: bool) -> str:
        if len(word.strip(".")) <= 1 or not word[0].isupper():
            return word
        if word not in chosen:
            given = not last and (word not in surnames or bool(lexicon.get(folded(word), Entry()).given))
            chosen[word] = writer.given(pool) if given else writer.surname(pool)
        return chosen[word]

    result, moved, end = "", [], 0
    for start, stop, label in spans:
        result += text[end:start]
        words = text[start:stop].split(" ")
        if label == 1:
            words = [
                replace(w, last=n == len(words) - 1 and (n > 0 or w in surnames)) for n, w in enumerate(words) if w
            ]
        begin = len(result)
        result += " ".join(words)
        moved.append((begin, len(result), label))
        end = stop
    return result + text[end:], moved


def social(path: Path, rng: random.Random) -> Iterator[tuple[str, list[Span]]]:
    """WNUT-17's first texts, joined by blanks or as people would type them."""
    blocks = re.split(r"\n\s*\n", path.read_text("utf-8").strip())[:TRAINED_ON]
    for block in blocks:
        rows = [line.split("\t") for line in block.splitlines() if "\t" in line]
        yield _joined([(row[0].strip(), row[1].strip()) for row in rows], tight=rng.random() < 0.5)


def _joined(rows: Sequence[tuple[str, str]], *, tight: bool) -> tuple[str, list[Span]]:
    text, before = "", ""
    spans: list[Span] = []
    for word, tag in rows:
        close = tight and (re.fullmatch(r"[.,!?:;)]+|n't|'\w+", word) or before in {"(", "#", "@"})
        text += word if close or not text else " " + word
        start = len(text) - len(word)
        if tag == "B-person":
            spans.append((start, len(text), 1))
        elif tag == "I-person" and spans:
            spans[-1] = (spans[-1][0], len(text), 1)
        before = word
    return text, spans
