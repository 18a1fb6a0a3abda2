"""Deal groups of rows out to train, validation and test: by seed and content, never by row order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from pakar import recipe
from pakar.conversation import SPLITS, Split
from pakar.errors import DataError
from pakar.prepare import keys
from pakar.prepare.keys import Keys

FAR = 1.5
"""A split that is so many times larger or smaller than asked for is worth a warning."""

Sizes = npt.NDArray[np.int64]


def assign(groups: Keys, sizes: Sizes, split: recipe.Split, seed: int) -> npt.NDArray[np.uint8]:
    """The split of every group, as its number in `SPLITS`.

    Groups are visited in the order of their seeded fingerprints; one goes to test, then to validation, as long as it fits
    into what is wanted there. So the sizes are met to the row when groups are small, and adding rows moves few others.

    Args:
        groups: Names, each once.
        sizes: Rows of each.
        split: Wanted sizes; shares are of all rows.
        seed: Another seed deals another way.

    Raises:
        DataError: the wanted sizes leave nothing to train on.
    """
    rows = int(sizes.sum())
    wanted: dict[Split, int] = {"test": _wanted(split.test, rows), "validation": _wanted(split.validation, rows)}
    _check(wanted, rows, len(groups))
    order = np.argsort(np.fromiter((keys.place(seed, keys.name(int(g))) for g in groups), np.uint64, len(groups)))
    assigned = np.full(len(groups), SPLITS.index("train"), np.uint8)
    filling = [name for name, target in wanted.items() if target > 0]
    for position, name in enumerate(filling):
        # Every split still to be filled, and training, must be left at least one group.
        most_groups = len(order) - (len(filling) - position)
        chosen = _fill(order, sizes, wanted[name])[:most_groups]
        assigned[chosen] = SPLITS.index(name)
        order = order[~np.isin(order, chosen)]
    return assigned


def _fill(order: npt.NDArray[np.intp], sizes: Sizes, target: int) -> list[int]:
    """The groups that fit into `target` rows, in order; if every one is larger, the smallest: it does least harm."""
    chosen: list[int] = []
    filled = 0
    for group in order.tolist():
        if filled == target:
            break
        if filled + sizes[group] <= target:
            chosen.append(group)
            filled += int(sizes[group])
    return chosen or [int(order[np.argmin(sizes[order])])]


def crossings(names: Keys, splits: npt.NDArray[np.uint8]) -> int:
    """How many names stand in more than one split; must be 0. Both arrays have one element a row."""
    order = np.lexsort((splits, names))
    names, splits = names[order], splits[order]
    parted = (names[1:] == names[:-1]) & (splits[1:] != splits[:-1])
    return len(np.unique(names[1:][parted]))


def crossing_names(found: Iterable[pl.Series]) -> int:
    """The same for the names found in each split."""
    names = pl.concat([each.unique() for each in found])
    return len(names) - names.n_unique()


def misses(found: Mapping[Split, int], split: recipe.Split) -> list[str]:
    """A sentence for every split whose size is far from what was asked for, because its groups are large."""
    rows = sum(found.values())
    asked: dict[Split, int] = {"validation": _wanted(split.validation, rows), "test": _wanted(split.test, rows)}
    return [
        f"the {name} split has {found[name]:,} rows instead of {wanted:,}, because rows with the same question stay together"
        for name, wanted in asked.items()
        if wanted and not 1 / FAR < found[name] / wanted < FAR
    ]


def _wanted(size: float, rows: int) -> int:
    if size == 0:
        return 0
    return int(size) if size >= 1 else max(1, round(size * rows))


def _check(wanted: Mapping[Split, int], rows: int, groups: int) -> None:
    asked = " + ".join(f"{count} for {name}" for name, count in wanted.items())
    needed = 1 + sum(count > 0 for count in wanted.values())
    if sum(wanted.values()) >= rows:
        raise DataError(f"prepare.split: {asked} rows are wanted, but only {rows} rows are left after cleaning, and some must be trained on",
                        next_step="ask for fewer rows, or for shares such as --set prepare.split.test=0.1.")  # fmt: skip
    if groups < needed:
        raise DataError(f"prepare.split: the data holds {groups} different question(s); at least {needed} are needed for {asked} and training",
                        next_step="add data, or set prepare.split.validation or prepare.split.test to 0.")  # fmt: skip
