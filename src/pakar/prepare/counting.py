"""How many words a text has, counted on its bytes: several times as fast as by a regular expression, and the same number."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

OTHER_SPACES = [chr(c) for c in (0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)]
"""White space beyond ASCII; texts that hold any are counted by a regular expression."""
_LEADS, _FOLLOWS = (np.isin(np.arange(256), [space.encode()[place] for space in OTHER_SPACES]) for place in (0, 1))
"""Whether such a space may begin with a byte, and go on with it."""
_LOWEST_LEAD = np.uint8(np.flatnonzero(_LEADS)[0])

Bytes = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]


def words(texts: pl.Series) -> Counts:
    """Number of words of each text, parted by Unicode white space. Null counts as no text."""
    column = texts.fill_null("").to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, values = column.buffers()
    if values is None or not len(texts):
        return np.zeros(len(texts), np.int64)
    ends = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(texts) + 1]
    data = np.frombuffer(values, np.uint8)[ends[0] : ends[-1]]
    ends = ends - ends[0]
    counts = _ascii_words(data, ends)
    rare = _rows_with_other_spaces(data, ends)
    if len(rare):
        counts[rare] = texts.gather(rare).str.count_matches(r"\S+").to_numpy()
    return counts


def _ascii_words(data: Bytes, ends: Counts) -> Counts:
    """A word begins at every byte that is no space and has one before it, or a text's beginning."""
    counts = np.zeros(len(ends) - 1, np.int64)
    filled = np.diff(ends) > 0
    if not filled.any():
        return counts
    starts = ends[:-1][filled]
    is_space = (data == ord(" ")) | ((data - np.uint8(9)) < 5)
    begins = np.empty(len(data), bool)
    begins[1:] = is_space[:-1]
    begins[starts] = True
    begins &= ~is_space
    counts[filled] = np.add.reduceat(begins, starts, dtype=np.int64)
    return counts


def _rows_with_other_spaces(data: Bytes, ends: Counts) -> Counts:
    """Rows in which two bytes might begin such a space: all that hold one, and few others."""
    high = np.flatnonzero(data >= _LOWEST_LEAD)
    leads = high[_LEADS[data[high]]]
    following = data[np.minimum(leads + 1, len(data) - 1)]
    places = leads[_FOLLOWS[following]]
    return np.unique(np.searchsorted(ends, places, side="right") - 1)
