from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pakar import recipe, text
from pakar.conversation import SPLITS
from pakar.errors import DataError
from pakar.prepare import keys
from pakar.prepare import split as splitting
from pakar.prepare.split import crossings, misses


def assign(groups: dict[str, int], split: recipe.Split, seed: int) -> dict[str, str]:
    names = np.array([keys.number(text.fingerprint(group)) for group in groups], np.uint64)
    codes = splitting.assign(names, np.array(list(groups.values()), np.int64), split, seed)
    return {group: SPLITS[code] for group, code in zip(groups, codes, strict=True)}


def sizes(groups: dict[str, int], split: recipe.Split, seed: int = 1) -> Counter[str]:
    counted: Counter[str] = Counter()
    for group, name in assign(groups, split, seed).items():
        counted[name] += groups[group]
    return counted


def test_sizes_are_met_to_the_row() -> None:
    groups = {f"q{n}": 1 for n in range(98)}
    assert sizes(groups, recipe.Split()) == {"train": 78, "validation": 10, "test": 10}
    assert sizes(groups, recipe.Split(validation=5, test=20)) == {"train": 73, "validation": 5, "test": 20}
    assert sizes(groups, recipe.Split(validation=0, test=0)) == {"train": 98}


def test_row_order_does_not_matter_and_the_seed_does() -> None:
    groups = {f"q{n}": n % 3 + 1 for n in range(60)}
    shuffled = dict(sorted(groups.items(), reverse=True))
    assert assign(groups, recipe.Split(), 1) == assign(shuffled, recipe.Split(), 1)
    assert assign(groups, recipe.Split(), 1) != assign(groups, recipe.Split(), 2)


@pytest.mark.parametrize(
    ("groups", "split", "message"),
    [
        ({"a": 1, "b": 1, "c": 1}, recipe.Split(test=50), "only 3 rows are left"),
        ({"a": 40}, recipe.Split(), "1 different question"),
        ({"a": 1, "b": 1}, recipe.Split(), "at least 3|only 2 rows"),
    ],
)
def test_a_split_that_leaves_nothing_to_train_on_is_refused(
    groups: dict[str, int], split: recipe.Split, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        assign(groups, split, 1)


@pytest.mark.parametrize("seed", range(6))
def test_training_is_never_left_without_a_group(seed: int) -> None:
    assigned = assign({"a": 3, "b": 2, "c": 5}, recipe.Split(test=5, validation=4), seed)
    assert sorted(assigned.values()) == ["test", "train", "validation"]


def test_sizes_far_from_what_was_asked_for_are_told() -> None:
    told = misses({"train": 100, "validation": 100, "test": 100}, recipe.Split())
    assert [sentence.split(",")[0] for sentence in told] == [
        "the validation split has 100 rows instead of 30",
        "the test split has 100 rows instead of 30",
    ]
    assert misses({"train": 80, "validation": 11, "test": 9}, recipe.Split()) == []


@given(st.dictionaries(st.text(min_size=1), st.integers(1, 30), min_size=4), st.integers(0, 99))
def test_every_group_goes_to_one_split_and_each_split_gets_something(groups: dict[str, int], seed: int) -> None:
    if sum(groups.values()) < 4:
        return
    assigned = assign(groups, recipe.Split(), seed)
    assert set(assigned) == set(groups)
    assert set(assigned.values()) == {"train", "validation", "test"}


def test_names_in_several_splits_are_counted() -> None:
    names = np.array([1, 1, 2, 2, 3, 3, 3], np.uint64)
    splits = np.array([0, 0, 0, 1, 2, 0, 1], np.uint8)
    assert crossings(names, splits) == 2
