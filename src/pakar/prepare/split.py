"""Deal groups of rows out to train, validation and test: by seed and content, never by row order. Pure Python."""

from __future__ import annotations

from collections.abc import Mapping

from pakar import recipe, text
from pakar.conversation import Split
from pakar.errors import DataError


def assign(groups: Mapping[str, int], split: recipe.Split, seed: int) -> dict[str, Split]:
    """The split of every group.

    Groups are visited in the order of their seeded fingerprints; one goes to test, then to validation, as long as it fits
    into what is wanted there. So the sizes are met to the row when groups are small, and adding rows moves few others.

    Args:
        groups: Group → number of its rows.
        split: Wanted sizes; shares are of all rows.
        seed: Another seed deals another way.

    Raises:
        DataError: the wanted sizes leave nothing to train on.
    """
    rows = sum(groups.values())
    wanted: dict[Split, int] = {"test": _wanted(split.test, rows), "validation": _wanted(split.validation, rows)}
    _check(wanted, rows, len(groups))
    order = sorted(groups, key=lambda group: text.seeded(seed, group))
    assigned: dict[str, Split] = {}
    for name, target in wanted.items():
        if target == 0:
            continue
        filled = 0
        for group in order:
            if group not in assigned and filled + groups[group] <= target:
                assigned[group] = name
                filled += groups[group]
        if filled == 0:  # every group is larger than what is wanted: the smallest does least harm
            assigned[min((g for g in order if g not in assigned), key=lambda g: groups[g])] = name
    return {group: assigned.get(group, "train") for group in order}


def crossings(pairs: Mapping[str, set[str]]) -> int:
    """Groups that stand in more than one split; must be 0. `pairs` maps each group to the splits it was found in."""
    return sum(len(splits) > 1 for splits in pairs.values())


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
