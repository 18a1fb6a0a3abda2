"""MinHash signatures (Broder 1997) and their bands (Leskovec, Rajaraman & Ullman, Mining of Massive Datasets, section 3.4).

Each of b·r hash functions keeps the smallest value it takes on a text's shingles; two texts keep the same one with
a probability of J, their Jaccard similarity. A band is the hash of r such minima, so two texts meet in at least one of b
bands with probability 1 - (1 - Jʳ)ᵇ.

The hash functions are x ↦ (x ⊕ sₖ)·aₖ mod 2³², aₖ odd, on shingles that are well mixed already. One permutation
hashing (Li, Owen & Zhang 2012; Shrivastava 2017) would need one pass instead of b·r, but these passes are a small part
of the time, and its empty bins have to be filled for short texts, of which questions and answers consist.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pakar.prepare.near_duplicates.sets import Sets
from pakar.prepare.near_duplicates.shingles import WORDS, Hashes, mix

Minima = npt.NDArray[np.uint32]

_SEED = 0x70616B6172


class Scheme(NamedTuple):
    """What makes two rows near-duplicates, and how they are looked for. Keys of different schemes cannot be compared."""

    words: int = WORDS  # n: words per shingle
    bands: int = 16  # b
    rows: int = 6  # r: minima per band
    threshold: float = 0.8  # smallest Jaccard similarity of near-duplicates
    question_threshold: float = 0.0  # smallest Jaccard similarity of what is asked or told alone; 0: any
    answer_threshold: float = 0.5  # smallest Jaccard similarity of their answers alone


SCHEME = Scheme()
"""The defaults: pairs at J = 0.8 meet with probability 0.992, at 0.85 with 0.9995, at 0.5 with 0.22."""


def meeting_probability(similarity: float, scheme: Scheme = SCHEME) -> float:
    """Probability 1 - (1 - Jʳ)ᵇ that two texts of Jaccard similarity J share the key of at least one band."""
    return float(1 - (1 - similarity**scheme.rows) ** scheme.bands)


def signatures(sets: Sets, count: int) -> Minima:
    """The smallest values of `count` hash functions over each of N sets → [count N]."""
    constants = mix(np.arange(_SEED, _SEED + 2 * count, dtype=np.uint64)) >> np.uint64(32)
    masks, factors = constants.astype(np.uint32).reshape(2, count)
    starts = sets.offsets[:-1]
    minima = np.empty((count, len(starts)), dtype=np.uint32)
    hashed = np.empty_like(sets.values)
    for place in range(count if len(starts) else 0):
        np.bitwise_xor(sets.values, masks[place], out=hashed)
        np.multiply(hashed, factors[place] | np.uint32(1), out=hashed)
        np.minimum.reduceat(hashed, starts, out=minima[place])
    return minima


def band_keys(minima: Minima, rows: int) -> Hashes:
    """The keys of bands of `rows` minima each: [b·r N] → [b N]. The last of `minima` that fill no band are left out."""
    bands = len(minima) // rows
    keys = np.zeros((bands, minima.shape[1]), dtype=np.uint64)
    for row in range(rows):
        keys = mix(keys + minima[row : bands * rows : rows] + np.uint64(row + 1))
    return keys
