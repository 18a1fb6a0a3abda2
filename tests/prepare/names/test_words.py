from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pakar.prepare.names.words import ENTRIES, UNLISTED, WORD, code, entry_features, features, folded, shape


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Dr. O'Brien's car", ["Dr", ".", "O'Brien", "'s", "car"]),
        ("Jean-Luc d’Arc’s", ["Jean", "-", "Luc", "d’Arc", "’s"]),
        ("I don't, she'll", ["I", "don", "'t", ",", "she", "'ll"]),
        ("J.K. Rowling\n\nLCSW", ["J", ".", "K", ".", "Rowling", "\n\n", "LCSW"]),
        ("Nguyễn Thị 7B", ["Nguyễn", "Thị", "7", "B"]),
        ("Zoe\u0308 left", ["Zoe\u0308", "left"]),
    ],
)
def test_texts_fall_into_words(text: str, words: list[str]) -> None:
    assert WORD.findall(text) == words


@given(st.text())
def test_words_hold_everything_but_blanks(text: str) -> None:
    assert "".join("".join(WORD.findall(text)).split()) == "".join(text.split())


def test_folding_drops_case_and_accents() -> None:
    assert [folded(word) for word in ("SMITH", "Szöllösy", "Nguyễn", "d’Arc")] == [
        "smith",
        "szollosy",
        "nguyen",
        "d'arc",
    ]


def test_codes_are_crc_32() -> None:
    assert code("123456789") == 0xCBF43926  # the check value of the CRC catalogue


@pytest.mark.parametrize(
    ("word", "drawn"), [("Ada", "Xxx"), ("McCarthy", "XxXxxx"), ("USA", "XXX"), ("2024", "000"), (".", ".")]
)
def test_shapes_keep_case_and_kind(word: str, drawn: str) -> None:
    assert shape(word) == drawn


@given(st.text(min_size=1))
def test_features_start_with_the_word_itself(word: str) -> None:
    assert next(iter(features(word))) == "w=" + folded(word)


def test_lexicon_entries_all_differ() -> None:
    assert (
        len({tuple(entry_features(entry)) for entry in range(ENTRIES)} | {tuple(entry_features(UNLISTED))})
        == ENTRIES + 1
    )
