from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pakar import text
from pakar.prepare.near_duplicates.shingles import Shingles, shingles

MODULUS = 2**64


def of(*contents: str | None, size: int = 5) -> Shingles:
    return shingles(pl.Series(contents, dtype=pl.String), size)


def listed(found: Shingles) -> list[list[int]]:
    return [part.tolist() for part in np.split(found.hashes, found.offsets[1:-1])]


def mixed(value: int) -> int:
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % MODULUS
    value = (value ^ value >> 27) * 0x94D049BB133111EB % MODULUS
    return value ^ value >> 31


def word_hash(word: bytes) -> int:
    return mixed(sum(byte * pow(0x9E3779B97F4A7C15, place, MODULUS) for place, byte in enumerate(word)) % MODULUS)


def window_hash(words: list[int]) -> int:
    return mixed(sum(word * pow(0xD1342543DE82EF95, place, MODULUS) for place, word in enumerate(words)) % MODULUS)


def test_values_never_change() -> None:
    found = of("What are the symptoms of asthma?", "Naïve café 東京", size=5)
    assert found.hashes.tolist() == [0xC4F91FB5454584B6, 0x016CB38624B16BFB, 0x394B04FFF7CF67AC]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(alphabet="abcxyz0189 .,-'\n", max_size=60), max_size=5), st.integers(1, 6))
def test_equal_to_plain_arithmetic(contents: list[str], size: int) -> None:
    expected = []
    for content in contents:
        words = [word_hash(word.encode()) for word in text.key(content).split() if text.words(content)]
        expected.append([window_hash(words[i : i + size]) for i in range(max(1, len(words) - size + 1)) if words])
    found = of(*contents, size=size)
    wordless = [not text.words(content) for content in contents]
    for ours, theirs, skip in zip(listed(found) if contents else [], expected, wordless, strict=True):
        assert skip or ours == theirs


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(max_size=40), max_size=8), st.integers(0, 8))
def test_batches_may_be_cut_anywhere(contents: list[str], cut: int) -> None:
    whole, parts = of(*contents), [of(*contents[:cut]), of(*contents[cut:])]
    assert whole.hashes.tolist() == [value for part in parts for value in part.hashes.tolist()]
    assert whole.words.tolist() == [count for part in parts for count in part.words.tolist()]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How, can I\tsleep?", "how can i  sleep"),
        ("Straße und FUSS", "STRASSE und fuß"),
        ("ΟΔΟΣ", "οδος"),
        ("ﬁnd ＡＢＣ １２", "find abc 12"),
        ("cafe\u0301 noir", "CAFÉ noir"),
        ("don’t", "don't"),
        ("“one”—two…", "one two"),
        ("我头痛，怎么办？", "我头痛怎么办"),
        ("  😀 ", "😀"),
    ],
)
def test_case_punctuation_and_width_do_not_count(one: str, other: str) -> None:
    first, second = listed(of(one, other, size=2))
    assert first == second


@pytest.mark.parametrize(
    ("one", "other"),
    [("a b", "b a"), ("ab c", "a bc"), ("😀", "😢"), ("!!!", "???"), ("1", "2"), ("क", "का"), ("a b c", "a b c d")],
)
def test_what_differs_in_words_differs(one: str, other: str) -> None:
    first, second = listed(of(one, other))
    assert not set(first) & set(second)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("one two three", 3),
        ("我头痛怎么办", 6),
        ("東京タワー 2020年", 7),
        ("สวัสดี", 4),
        ("한국어 단어", 2),
        ("हिन्दी में शब्द", 3),
        ("xn--a_b", 3),
        ("", 0),
        (" \n", 0),
        ("?!", 1),
    ],
)
def test_words_of_all_scripts_are_counted(content: str, words: int) -> None:
    assert of(content).words.tolist() == [words]


def test_a_text_of_n_words_has_one_shingle_and_of_more_words_one_more_each() -> None:
    found = of("", "a", "a b c d e", "a b c d e f", None)
    assert np.diff(found.offsets).tolist() == [0, 1, 1, 2, 0]


def test_long_texts_and_long_words_are_hashed_in_blocks() -> None:
    word = "z" * 600_000
    found = of(" ".join(["alpha beta gamma delta epsilon"] * 40_000), f"a {word} b", word, size=1)
    first, second, third = listed(found)
    assert len(first) == 200_000
    assert len(set(first)) == 5
    assert second[1] == third[0]


def test_hashes_are_spread_evenly() -> None:
    found = of(" ".join(f"{number}" for number in range(20_000)), size=1).hashes
    assert len(set(found.tolist())) == 20_000
    for shift in (0, 28, 60):
        counts = np.bincount((found >> np.uint64(shift) & np.uint64(15)).astype(np.int64), minlength=16)
        assert ((counts - 1250) ** 2 / 1250).sum() < 45  # chi-squared with 15 degrees of freedom, p < 0.0001
