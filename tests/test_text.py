from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pakar import text


def test_words_of_many_scripts() -> None:
    assert text.words("Don't panic, it's a well-known façade.") == [
        "Don't",
        "panic",
        "it's",
        "a",
        "well-known",
        "façade",
    ]
    assert text.words("नींद ज़रूरी है") == ["नींद", "ज़रूरी", "है"]
    assert text.words("Сон важен!") == ["Сон", "важен"]


def test_key_forgets_case_punctuation_width_and_space() -> None:
    assert text.key("  How, can I   SLEEP?") == text.key("how can i sleep")
    assert text.key("ＡＢＣ") == text.key("abc")


def test_key_of_mere_punctuation_is_itself() -> None:
    assert text.key("?!") != text.key("...")


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_fingerprints_keep_parts_apart(one: list[str], other: list[str]) -> None:
    assert (text.fingerprint(*one) == text.fingerprint(*other)) == (one == other)
