from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pakar.prepare.operators import TOUCHED
from pakar.prepare.operators.person_names import replace_names
from tests.prepare.operators.conversations import batch, contents


class Listed:
    """Finds the names it was given."""

    def __init__(self, *names: str) -> None:
        self.pattern = re.compile("|".join(sorted(map(re.escape, names), key=len, reverse=True)))

    def find(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return [[match.span() for match in self.pattern.finditer(text)] for text in texts]


def masked(*texts: str, names: Sequence[str]) -> list[str]:
    return contents(replace_names(batch(list(texts)), Listed(*names), "replace").kept)[0]


def without(text: str, *names: str) -> str:
    return contents(replace_names(batch([text]), Listed(*names), "remove").kept)[0][0]


def test_a_name_and_its_parts_mean_one_person_in_all_messages() -> None:
    texts = ("I am Anna Smith. Tom told me.", "Hello Anna, dear Dr. Smith! And Tom?")
    assert masked(*texts, names=["Anna Smith", "Anna", "Smith", "Tom"]) == [
        "I am [PERSON_1]. [PERSON_2] told me.",
        "Hello [PERSON_1], dear Dr. [PERSON_1]! And [PERSON_2]?",
    ]


def test_a_part_that_fits_two_persons_stands_for_itself() -> None:
    assert masked("Anna Smith, Tom Smith, Smith", names=["Anna Smith", "Tom Smith", "Smith"]) == [
        "[PERSON_1], [PERSON_2], [PERSON_3]"
    ]


def test_a_part_may_come_before_the_full_name() -> None:
    assert masked("Anna? Anna Smith!", names=["Anna Smith", "Anna"]) == ["[PERSON_1]? [PERSON_1]!"]


def test_names_that_the_recogniser_missed_elsewhere_in_the_row_are_replaced_too() -> None:
    assert masked("Anna Smith came.", "SO ANNA left, Anna?", names=["Anna Smith"]) == [
        "[PERSON_1] came.",
        "SO ANNA left, [PERSON_1]?",
    ]


def test_words_that_are_names_only_at_times_are_left_to_the_recogniser() -> None:
    assert masked("Will Hunter met a hunter. Hunter or Will?", names=["Will Hunter"]) == [
        "[PERSON_1] met a hunter. Hunter or Will?"
    ]


def test_titles_and_possessives_do_not_make_another_person() -> None:
    assert masked("Dr. Anna's cat, Anna’s dog, Anna", names=["Dr. Anna's", "Anna’s", "Anna"]) == [
        "[PERSON_1]'s cat, [PERSON_1]’s dog, [PERSON_1]"
    ]


def test_names_in_other_scripts_keep_their_place() -> None:
    assert masked("😀 Æsa ß 李明 said", names=["Æsa", "李明"]) == ["😀 [PERSON_1] ß [PERSON_2] said"]


def test_numbering_starts_anew_in_every_row_and_only_changed_rows_are_touched() -> None:
    rows = batch(["Anna", "Tom"], ["nobody", "123"], ["Tom"])
    kept = replace_names(rows, Listed("Anna", "Tom"), "replace").kept
    assert contents(kept) == [["[PERSON_1]", "[PERSON_2]"], ["nobody", "123"], ["[PERSON_1]"]]
    assert kept[TOUCHED].to_list() == [True, False, True]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dear Anna,", "Dear,"),
        ("Thanks, Anna.", "Thanks."),
        ("Hi, Anna, how are you?", "Hi, how are you?"),
        ("Anna, please come.", "please come."),
        ("I saw Anna today.", "I saw today."),
        ("It is Anna's book.", "It is book."),
        ("My aunt (Anna) came.", "My aunt came."),
        ("Regards\nAnna\nBerlin", "Regards\n\nBerlin"),
        ("Anna", ""),
        ("He left. Anna stayed.", "He left. stayed."),
    ],
)
def test_removed_names_leave_no_trace(text: str, expected: str) -> None:
    assert without(text, "Anna") == expected


def test_rows_that_name_somebody_are_rejected_without_the_name() -> None:
    rows = batch(["Anna Smith and Tom", "Anna"], ["nobody", "here"])
    kept, rejected = replace_names(rows, Listed("Anna Smith", "Tom", "Anna"), "reject")
    assert kept["offset"].to_list() == [2]
    assert rejected.select("reason", "operator", "detail", "text").rows() == [
        ("person_name", "person-names", "2 names", "[PERSON_1] and [PERSON_2]\n[PERSON_1]")
    ]


def test_placeholders_are_no_names() -> None:
    class Capitals:
        def find(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
            return [[match.span() for match in re.finditer(r"[A-Z_]{2,}", text)] for text in texts]

    assert contents(replace_names(batch(["[PERSON_1] met ANNA"]), Capitals(), "replace").kept) == [
        ["[PERSON_1] met [PERSON_2]"]
    ]


TEXTS = st.lists(
    st.sampled_from(["Anna", "Smith", "Anna Smith", "Tom", ", ", ". ", " ", "\n", "'s", "(", ")", "é😀", "[PERSON_1]"]),
    max_size=9,
).map("".join)


@given(st.lists(TEXTS, max_size=3), st.sampled_from(["replace", "remove"]))
def test_a_second_run_changes_nothing(texts: list[str], treatment: str) -> None:
    recogniser = Listed("Anna Smith", "Anna", "Smith", "Tom")
    once = replace_names(batch(texts), recogniser, treatment)  # type: ignore[arg-type]
    again = replace_names(once.kept, recogniser, treatment)  # type: ignore[arg-type]
    assert treatment == "remove" or contents(again.kept) == contents(once.kept)
    assert not any(name in str(contents(once.kept)) for name in ("Anna Smith", "Tom"))
