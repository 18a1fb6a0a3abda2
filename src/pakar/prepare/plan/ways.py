"""Which rows are shown before and after each operator, and what happened to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from typing import Any

import polars as pl

from pakar import text
from pakar.prepare import kernel
from pakar.prepare.clean import Tools
from pakar.prepare.frames import RECORDS
from pakar.prepare.ledger import READER
from pakar.prepare.operators.length import PARTS
from pakar.prepare.plan.looked import KEY, Look
from pakar.prepare.trace import Rejection, Way, trace

Key = tuple[Any, ...]
"""Source, offset and part of a row."""


def ways(looks: Sequence[Look], at_hand: Tools, show: int) -> list[Way]:
    """Rows that something happened to: from every operator and every reason in turn, in an order that looks random.

    Args:
        looks: One for each source.
        at_hand: Its operators are run again, one by one.
        show: So many rows at most.
    """
    if not show:
        return []
    raw = pl.concat([one.raw for one in looks])
    read = set(raw.select(KEY).iter_rows())
    rejected = _rejected(looks, read)
    chosen = _in_turn(_groups(looks, read, rejected), show)
    wanted = pl.DataFrame(chosen, schema={name: RECORDS[name] for name in KEY}, orient="row")
    rows = raw.join(wanted, on=KEY, how="semi").unique(KEY, keep="first")
    traced = dict(zip(rows.select(KEY).iter_rows(), trace(rows, at_hand.steps), strict=True)) if len(rows) else {}
    found = []
    for key in chosen:
        rejection, excerpt = rejected.get(key, (None, ""))
        way = traced.get(key) or Way(str(key[0]), int(key[1]), excerpt)
        way.rejection = way.rejection or rejection
        found.append(way)
    return found


def _rejected(looks: Sequence[Look], read: Set[Key]) -> dict[Key, tuple[Rejection, str]]:
    """Why a row was rejected, and what it said; of a row that was cut into several, the first rejected piece counts."""
    found: dict[Key, tuple[Rejection, str]] = {}
    for one in looks:
        columns = one.rejected.select(*KEY, "operator", "reason", "detail", "text")
        for *key, operator, reason, detail, said in columns.iter_rows():
            row = tuple(key) if operator == READER else _whole(tuple(key), read)
            found.setdefault(row, (Rejection(operator, reason, detail or ""), said or ""))
    return found


def _groups(
    looks: Sequence[Look], read: Set[Key], rejected: Mapping[Key, tuple[Rejection, str]]
) -> dict[str, list[Key]]:
    """Reason or operator → rows."""
    groups: defaultdict[str, list[Key]] = defaultdict(list)
    for key, (rejection, _) in rejected.items():
        groups[f"rejected {rejection.reason}"].append(key)
    for one in looks:
        for bit, name in enumerate(one.names):
            touched = one.kept.filter((pl.col(kernel.CHANGED) // (1 << bit)) % 2 == 1)
            groups[name] += dict.fromkeys(_whole(key, read) for key in touched.select(KEY).iter_rows())
    return groups


def _whole(key: Key, read: Set[Key]) -> Key:
    """The row that a piece was cut from: pieces carry the number of their row in their own."""
    source, offset, part = key
    while (source, offset, part) not in read and part:
        part //= PARTS
    return source, offset, part


def _in_turn(groups: Mapping[str, Sequence[Key]], wanted: int) -> list[Key]:
    shuffled = [sorted(keys, key=lambda key: text.fingerprint(*map(str, key))) for _, keys in sorted(groups.items())]
    chosen: dict[Key, None] = {}
    for turn in range(max(map(len, shuffled), default=0)):
        for keys in shuffled:
            if turn < len(keys) and len(chosen) < wanted:
                chosen.setdefault(keys[turn])
    return list(chosen)
