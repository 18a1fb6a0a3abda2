"""How the examples of a step are laid out: into rows, and rows into forward passes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_MULTIPLE = 8
"""Widths are multiples of it: what tensor cores and vector registers work in."""

_WIDTHS = (1.0, 1.125, 1.25, 1.375, 1.5, 1.75, 2.0)
"""Widths that are tried, in widths of the longest sequence: a wider row has less left over at its end."""
_WIDEST = 512
"""Rows are not made wider than this by packing: what attention keeps for a token grows with the width, and so does its time."""
_ATTENTION = 2048
"""Width at which attention costs as much as all matrix products, about; it costs the square of the width."""
_BLOCK = 256
"""Most sequences laid out together, so that large splits are laid out in linear time."""


class Pass(NamedTuple):
    """One forward pass.

    Attributes:
        width: Positions in a row, the longest row's tokens and some padding.
        rows: Sequence numbers of every row, in order. Without packing there is one in each.
    """

    width: int
    rows: tuple[tuple[int, ...], ...]


def passes(
    members: Iterable[int], lengths: npt.NDArray[np.int64], *, most_tokens: int, packed: bool = True
) -> list[Pass]:
    """Lay sequences out so that every pass holds at most `most_tokens` positions; a longer sequence goes alone.

    The longest sequence left goes into the next pass, and the others fill its rows by best fit, longest first (Johnson et
    al. 1974). Rows are little wider than they must be, as attention costs the square of the width.

    Args:
        members: Numbers of the sequences to lay out, in any order; the layout does not depend on it.
        lengths: Tokens of every sequence of the split.
        most_tokens: Rows times width of a pass, at most.
        packed: Several sequences may share a row.
    """
    ordered = sorted((int(member) for member in members), key=lambda member: (-int(lengths[member]), member))
    done = []
    for start in range(0, len(ordered), _BLOCK):
        left = ordered[start : start + _BLOCK]
        while left:
            one, left = _next_pass(left, lengths, most_tokens=most_tokens, packed=packed)
            done.append(one)
    return done


def _next_pass(
    ordered: Sequence[int], lengths: npt.NDArray[np.int64], *, most_tokens: int, packed: bool
) -> tuple[Pass, list[int]]:
    """The cheapest pass per token among some widths from that of the longest sequence on; and what it leaves over."""
    narrowest = _rounded(int(lengths[ordered[0]]))
    widths = sorted({_rounded(int(narrowest * factor)) for factor in _WIDTHS}) if packed else [narrowest]
    found = []
    for width in (width for width in widths if width == narrowest or width <= min(most_tokens, _WIDEST)):
        rows, left = _fill(ordered, lengths, width=width, most_rows=max(1, most_tokens // width), packed=packed)
        tokens = sum(int(lengths[member]) for row in rows for member in row)
        cost = width * len(rows) * (1 + width / _ATTENTION) / tokens
        found.append((cost, width, rows, left))
    _, width, rows, left = min(found)
    return Pass(width, tuple(map(tuple, rows))), left


def _rounded(width: int) -> int:
    return -(-width // _MULTIPLE) * _MULTIPLE


def _fill(
    ordered: Sequence[int], lengths: npt.NDArray[np.int64], *, width: int, most_rows: int, packed: bool
) -> tuple[list[list[int]], list[int]]:
    """Best fit decreasing into at most `most_rows` rows; returns the rows and what found no place."""
    rows: list[list[int]] = []
    space: list[int] = []
    left = []
    for member in ordered:
        length = int(lengths[member])
        fitting = [row for row, free in enumerate(space) if free >= length] if packed else []
        if fitting:
            row = min(fitting, key=space.__getitem__)
        elif len(rows) < most_rows:
            row = len(rows)
            rows.append([])
            space.append(width)
        else:
            left.append(member)
            continue
        rows[row].append(member)
        space[row] -= length
    return rows, left


def deal(members: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], parts: int) -> list[npt.NDArray[np.int64]]:
    """Deal sequences out to `parts` processes: longest first, each to whoever has least (Graham 1969: within 4/3 of the best).

    Every process computes all shares by itself. Some are empty where there are fewer sequences than processes.
    """
    if parts == 1:
        return [members]
    shares: list[list[int]] = [[] for _ in range(parts)]
    loads = [0] * parts
    for member in members[np.argsort(-lengths[members], kind="stable")].tolist():
        least = loads.index(min(loads))
        shares[least].append(member)
        loads[least] += int(lengths[member])
    return [np.array(share, dtype=np.int64) for share in shares]
