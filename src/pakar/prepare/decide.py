"""Between the first task and the second: what becomes of every cleaned row. Looks at keys, hardly ever at texts.

In order: of equal rows the first stays; of nearly equal rows the best; the sample is drawn; rows that belong together are
grouped; groups are dealt out to the splits. Seed and content decide; the order of the rows does so only in which of two equal
rows counts as the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from pakar.conversation import SPLITS
from pakar.prepare import key_table, keys, near_duplicates, sample, split
from pakar.prepare.executor import Report
from pakar.prepare.key_table import DUPLICATE, NEAR_DUPLICATE, NOT_SAMPLED, REASONS, KeyTable
from pakar.prepare.keys import Keys
from pakar.prepare.spool import Spool
from pakar.recipe import NearDuplicates, Prepare

TOKENS_PER_FILE = 8_000_000
"""Tokens of a split that go into one output file, about; a file is put in order in memory."""
MOST_ROWS_PER_FILE = 50_000

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Decision:
    """What was decided.

    Attributes:
        rejected: Reason → rows.
        rows: Split → rows.
        files: Split → output files.
        sources: Number of the source → rows kept.
        crossings: Groups, questions and families of near-duplicates that stand in more than one split; must be 0.
    """

    rejected: dict[str, int]
    rows: dict[str, int]
    files: dict[str, int]
    sources: dict[int, int]
    crossings: int


def decide(spool: Spool, cleaned: Sequence[Report], section: Prepare, seed: int) -> Decision:
    """Decide what becomes of every cleaned row, and write it beside them.

    Args:
        spool: Holds the cleaned rows.
        cleaned: Reports of the shards that hold any, in order.
        section: What is wanted.
        seed: Of the recipe.

    Raises:
        DataError: the sample or the split asks for more rows than are left.
    """
    table = key_table.read(spool, cleaned)
    first = _settle_duplicates(table, section, seed)
    family = _settle_near_duplicates(table, section.near_duplicates, first)
    labels = _labels(table) if section.sample and section.sample.stratify else np.zeros_like(table.sources)
    sample.leave_out(table.fate, table.place, table.sources, labels, section, code=NOT_SAMPLED)
    groups = _groups(table, family)
    alive = table.alive()
    names, group_of = np.unique(groups[alive], return_inverse=True)
    sizes = np.bincount(group_of, minlength=len(names))
    table.fate[alive] = split.assign(names, sizes, section.split, seed)[group_of]
    files, bucket = _buckets(table, sum(report["tokens"] for report in cleaned))
    table.write(groups, bucket)
    fate = table.fate[alive]
    return Decision(
        rejected={r: n for c, r in enumerate(REASONS, len(SPLITS)) if (n := int((table.fate == c).sum()))},
        rows={name: int((fate == code).sum()) for code, name in enumerate(SPLITS)},
        files=files,
        sources=dict(enumerate(np.bincount(table.sources[alive], minlength=len(section.sources)).tolist())),
        crossings=sum(
            split.crossings(names[alive], fate) for names in (groups, table.question_key, family.astype(np.uint64))
        ),
    )


def _settle_duplicates(table: KeyTable, section: Prepare, seed: int) -> Rows:
    """Of equal rows the first stays, or all stay and the others get ids and places of their own.

    Returns:
        For every row the first of those that equal it.
    """
    order = np.lexsort((table.id_low, table.id_high))  # stable: equal rows stay in reading order
    high, low = table.id_high[order], table.id_low[order]
    repeats = np.zeros(len(order), bool)
    repeats[1:] = (high[1:] == high[:-1]) & (low[1:] == low[:-1])
    position = np.arange(len(order))
    begin = np.maximum.accumulate(np.where(repeats, 0, position))
    first = np.empty_like(position)
    first[order] = order[begin]
    if section.duplicates == "reject":
        table.fate[order[repeats]] = DUPLICATE
        return first
    table.copy[order] = position - begin
    rows = np.sort(order[repeats])
    ids = [keys.copy_id(i, int(n)) for i, n in zip(table.gather("id", rows), table.copy[rows], strict=True)]
    table.place[rows] = [keys.place(seed, identity) for identity in ids]
    return first


def _settle_near_duplicates(table: KeyTable, wanted: NearDuplicates, first: Rows) -> Rows:
    """Of nearly equal rows the best stays, or all stay; equal rows share the fate of the first of them.

    Returns:
        The family of every row, a number that only near-duplicates share.
    """
    family = first.copy()
    if wanted.treatment == "ignore":
        return family
    alive = np.flatnonzero(first == np.arange(len(first)))
    sources = near_duplicates.Keys(
        ids=pl.Series("id", table.id_high[alive]),
        words=table.column("words")["words"].to_numpy()[alive],
        band=lambda number: table.column(band := near_duplicates.BAND.format(number))[band].to_numpy()[alive],
        fetch=lambda column, rows: table.gather(column, alive[rows]),
    )
    found = near_duplicates.find(sources, near_duplicates.SCHEME._replace(threshold=wanted.similarity))
    family[alive] = alive[found.group]
    if wanted.treatment == "reject":
        dropped, kept = alive[found.dropped], alive[found.kept]
        table.fate[dropped] = NEAR_DUPLICATE
        places = np.unique(kept)
        ids = dict(zip(places.tolist(), table.gather("id", places), strict=True))
        for row, by, similarity in zip(dropped.tolist(), kept.tolist(), found.similarity.tolist(), strict=True):
            table.details[row] = f"{similarity:.0%} of its runs of words are those of row {ids[by]}"
        table.fate[table.copy > 0] = table.fate[first[table.copy > 0]]
    return family[first]


def _labels(table: KeyTable) -> Rows:
    """Number of the label of every row; without a label, of its source."""
    label = pl.coalesce("label", "source").rank("dense").cast(pl.Int64)
    return table.column("label", "source").select(label).to_series().to_numpy()


def _groups(table: KeyTable, family: Rows) -> Keys:
    """Name of the group of every row: the smallest key among all questions and groups that are linked with its own."""
    nodes, codes = np.unique(np.concatenate([table.question_key, table.group_key]), return_inverse=True)
    of_question, of_group = np.split(codes, 2)
    one, other = np.concatenate([of_question, of_question]), np.concatenate([of_group, of_question[family]])
    linked = one != other
    pairs = near_duplicates.pair(np.minimum(one, other)[linked], np.maximum(one, other)[linked])
    # Nodes are in ascending order, and a component is named after its first node: its smallest key.
    return np.asarray(nodes[near_duplicates.components(len(nodes), pairs)[of_question]], np.uint64)


def _buckets(table: KeyTable, tokens: int) -> tuple[dict[str, int], npt.NDArray[np.uint32]]:
    """Split → output files, and the file of every row. Files are ranges of places: one after the other they are in order."""
    rows_per_file = min(MOST_ROWS_PER_FILE, max(1, TOKENS_PER_FILE * len(table.place) // tokens))
    files: dict[str, int] = {}
    bucket = np.zeros(len(table.place), np.uint32)
    for code, name in enumerate(SPLITS):
        rows = np.flatnonzero(table.fate == code)
        files[name] = max(1, -(-len(rows) // rows_per_file))
        bucket[rows] = ((table.place[rows] >> np.uint64(32)) * np.uint64(files[name])) >> np.uint64(32)
    return files, bucket
