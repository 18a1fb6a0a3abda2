from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pakar.prepare.counting import OTHER_SPACES, words

SOME_TEXT = st.text(alphabet=st.one_of(st.sampled_from(["a", "é", "’", " ", "\n", "\x0b", *OTHER_SPACES]), st.characters(codec="utf-8")))  # fmt: skip


@given(st.lists(st.one_of(st.none(), SOME_TEXT)))
def test_words_are_what_a_regular_expression_finds(texts: list[str | None]) -> None:
    column = pl.Series("t", texts, pl.String)
    expected = column.fill_null("").str.count_matches(r"\S+").to_list()
    assert words(column).tolist() == expected
    assert words(column.slice(1)).tolist() == expected[1:]
