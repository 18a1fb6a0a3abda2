"""Deal groups of rows out to train, validation and test: by seed and content, never by row order. Pure Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pakar import recipe, text
from pakar.conversation import Split
from pakar.errors import DataError

FAR = 1.5
"""A split that is so many times larger or smaller than asked for is worth a warning."""


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
    filling = [name for name, target in wanted.items() if target > 0]
    for position, name in enumerate(filling):
        # Every split still to be filled, and training, must be left at least one group.
        most_groups = len(order) - len(assigned) - (len(filling) - position)
        chosen = _fill([g for g in order if g not in assigned], groups, wanted[name])[:most_groups]
        assigned |= dict.fromkeys(chosen, name)
    return {group: assigned.get(group, "train") for group in order}


def _fill(order: Sequence[str], groups: Mapping[str, int], target: int) -> list[str]:
    """The groups that fit into `target` rows, in order; if every one is larger, the smallest: it does least harm."""
    chosen, filled = [], 0
    for group in order:
        if filled + groups[group] <= target:
            chosen.append(group)
            filled += groups[group]
    return chosen or [min(order, key=lambda group: groups[group])]


def crossings(found: Mapping[str, Iterable[str]]) -> int:
    """How many names stand in more than one split; must be 0. `found` maps each split to the names in it."""
    counted = Counter(name for names in found.values() for name in set(names))
    return sum(count > 1 for count in counted.values())


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
