"""A small tagger of person names that needs nothing but NumPy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pakar.prepare.names import network
from pakar.prepare.names.decoding import Token, names_in
from pakar.prepare.names.network import REACH, Floats
from pakar.prepare.names.spans import Span
from pakar.prepare.names.words import ENTRIES, UNLISTED, WORD, code, entry_features, features, folded

BATCH = 2048
"""Words that pass through the network together, unless one text is longer: the activations stay in the cache."""


class Lexicon(NamedTuple):
    """What is known of words: their codes in rising order and, for each, its entry (see `words.PLACE`)."""

    codes: NDArray[np.uint32]
    entries: NDArray[np.uint8]

    def look_up(self, words: Iterable[str]) -> NDArray[np.int64]:
        """The entry of each folded word, `UNLISTED` for a word that is not there."""
        wanted = np.fromiter(map(code, words), dtype=np.uint32)
        at = np.minimum(np.searchsorted(self.codes, wanted), len(self.codes) - 1)
        return np.where(self.codes[at] == wanted, self.entries[at], UNLISTED).astype(np.int64)


class Tagger:
    """Scores every word by its spelling, a lexicon and its neighbours; words above the threshold make up the names.

    Args:
        arrays: The stored arrays: those of `network.from_arrays`, `lexicon.codes` (uint32) and `lexicon.entries` (uint8).
    """

    def __init__(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        self._lexicon = Lexicon(arrays["lexicon.codes"].astype(np.uint32), arrays["lexicon.entries"].astype(np.uint8))
        self._network = network.from_arrays({n: a for n, a in arrays.items() if not n.startswith("lexicon.")})
        rows = len(self._network.table)
        self._entry_rows = [_rows(entry_features(entry), rows) for entry in range(ENTRIES + 1)]

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """For each text its names in order. Names without a capital letter are found only in texts without any."""
        found: list[list[Span]] = []
        for batch in _batches(map(tokens_of, texts)):
            found += map(names_in, batch, self.score(batch))
        return found

    def score(self, texts: Sequence[Sequence[Token]]) -> list[Floats]:
        """For each text the log-odds that each of its words belongs to a name."""
        if not any(texts):
            return [np.zeros(0, np.float32) for _ in texts]
        known: dict[str, int] = {}
        index = np.fromiter((known.setdefault(token.word, len(known)) for text in texts for token in text), np.int64)
        glued = np.fromiter((token.glued for text in texts for token in text), np.float32)
        lengths = np.array([len(text) for text in texts])
        places = np.arange(len(index)) + REACH * np.repeat(np.arange(1, len(texts) + 1), lengths)
        inputs = np.zeros((len(index) + REACH * (len(texts) + 1), self._network.table.shape[1]), np.float32)
        inputs[places] = self._embed(list(known))[index] + glued[:, None] * self._network.glued
        return np.split(network.scores(self._network, inputs)[places], np.cumsum(lengths)[:-1])

    def _embed(self, words: Sequence[str]) -> Floats:
        entries = self._lexicon.look_up(map(folded, words))
        rows = len(self._network.table)
        return network.embed(
            self._network,
            [_spelling(word, rows) + self._entry_rows[entry] for word, entry in zip(words, entries, strict=True)],
        )


def tokens_of(text: str) -> list[Token]:
    """The words of a text with their places."""
    tokens = []
    end = -1
    for match in WORD.finditer(text):
        start = match.start()
        glued, end = start == end, match.end()
        tokens.append(Token(match.group(), start, end, glued))
    return tokens


def _batches(texts: Iterable[list[Token]]) -> Iterator[list[list[Token]]]:
    batch: list[list[Token]] = []
    size = 0
    for tokens in texts:
        batch.append(tokens)
        size += len(tokens)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@lru_cache(maxsize=1 << 15)
def _spelling(word: str, rows: int) -> tuple[int, ...]:
    """Rows of what can be read off the word; most words of a text are frequent ones, so they are kept."""
    return _rows(features(word), rows)


def _rows(names: Iterable[str], rows: int) -> tuple[int, ...]:
    return tuple(code(name) % rows for name in names)
