from __future__ import annotations

import numpy as np
import pytest

from pakar.prepare.names.decoding import names_in
from pakar.prepare.names.tagger import tokens_of


def names(text: str, inside: str, perhaps: str = "") -> list[str]:
    """The names when the words of `inside` score high, those of `perhaps` a little too low."""
    tokens = tokens_of(text)
    scores = [3.0 if t.word in inside.split() else -1.0 if t.word in perhaps.split() else -9.0 for t in tokens]
    return [text[s.start : s.end] for s in names_in(tokens, np.array(scores, np.float32))]


@pytest.mark.parametrize(
    ("text", "inside", "expected"),
    [
        ("So Ada Lovelace wrote", "Ada Lovelace", ["Ada Lovelace"]),
        ("Ada's hat", "Ada 's", ["Ada"]),
        ("Dr. Ada Lovelace", "Dr . Ada Lovelace", ["Ada Lovelace"]),
        ("by J. R. Smith.", "J R Smith", ["J. R. Smith"]),
        ("by J. R. Smith.", "J R Smith .", ["J. R. Smith"]),
        ("Anne-Marie came", "Anne Marie", ["Anne-Marie"]),
        ("for Ada. Bob left", "Ada Bob", ["Ada", "Bob"]),
        ("Ada, Bob", "Ada Bob", ["Ada", "Bob"]),
        ("Love, Ada\nBob", "Ada \n Bob", ["Ada", "Bob"]),
        ("Dr .", "Dr .", []),
        ("My ada lovelace came", "ada lovelace", []),
        ("my mrs lovelace came, I saw", "mrs lovelace", ["lovelace"]),
        ("that Ada has", "that Ada has", ["Ada"]),
        ("says van der Berg", "van der Berg", ["van der Berg"]),
        ("nobody", "", []),
    ],
)
def test_names_start_and_end_where_people_say_they_do(text: str, inside: str, expected: list[str]) -> None:
    assert names(text, inside) == expected


def test_a_word_of_a_whole_name_counts_elsewhere_with_a_lower_score() -> None:
    assert names("Ada Hope came. Hope left.", "Ada", perhaps="Hope") == ["Ada"]
    tokens = tokens_of("Ada Hope came. Hope left, but Faith stayed.")
    scores = np.array([3, 3, -9, -9, -1, -9, -9, -9, -1, -9, -9], np.float32)
    assert [tuple(span) for span in names_in(tokens, scores)] == [(0, 8), (15, 19)]
