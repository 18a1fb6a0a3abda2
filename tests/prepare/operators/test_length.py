from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pakar.errors import RecipeError
from pakar.models.prompt import renderer
from pakar.prepare.cutting import Spans, pieces, token_spans, word_spans
from pakar.prepare.frames import Sieved
from pakar.prepare.operators import Tools
from pakar.prepare.operators.length import build
from pakar.recipe.operators import Length
from tests import tiny
from tests.prepare.operators.helpers import assert_same_rows, batch, contents, in_parts, pair, reasons, text

TOOLS = Tools(renderer(tiny.tokenizer()))
TOKENS = token_spans(TOOLS.renderer.tokenizer)


def run(section: Length, rows: pl.DataFrame) -> Sieved:
    operator = build(section, TOOLS)
    return operator.function(rows)


def test_rows_out_of_bounds_are_rejected_with_figures() -> None:
    rows = batch(pair("Why so late?", "No idea."), pair("Why?", "It is how it is."), text("one two three"))
    done = run(Length(min=4, max=5), rows)
    assert reasons(done) == {2: "too_long", 3: "too_short"}
    assert sorted(done.rejected["detail"]) == [
        "3 words in the row, at least 4 wanted",
        "6 words in the row, at most 5 allowed",
    ]


@pytest.mark.parametrize(("of", "rejected"), [("row", {1, 2, 3}), ("question", {1}), ("answer", {2})])
def test_only_what_is_asked_for_is_measured(of: str, rejected: set[int]) -> None:
    rows = batch(pair("a b c d", "e"), pair("a", "b c d e"), text("a b c d e"))
    assert set(reasons(run(Length.model_validate({"of": of, "max": 3}), rows))) == rejected


def test_answers_are_cut_behind_a_sentence_if_one_ends_near() -> None:
    rows = batch(pair("Why?", "It rains a lot. So stay in."), pair("Why?", "It rains very very very much today."))
    done = run(Length(of="answer", max=5, over="truncate"), rows)
    assert contents(done.kept) == ["It rains a lot.", "It rains very very very"]
    assert done.kept["touched"].to_list() == [True, True]


def test_what_leaves_no_room_for_the_answer_is_rejected() -> None:
    rows = batch(pair("a b c d e", "f g"), pair("a", "b c d e f"))
    done = run(Length(max=5, over="truncate"), rows)
    assert reasons(done) == {1: "too_long"}
    assert contents(done.kept) == ["b c d e"]


def test_plain_text_is_cut_into_numbered_rows_of_one_group() -> None:
    rows = batch(text("One two three.\n\nFour five six. Seven"), text("short"), pair("a b c d", "e f g"))
    done = run(Length(max=4, over="chunk"), rows)
    assert contents(done.kept) == ["One two three.", "Four five six. Seven", "short"]
    assert done.kept["part"].to_list() == [1, 2, 0]
    assert done.kept["group"].to_list() == ["s:1:0"] * 2 + [None]
    assert done.kept["touched"].to_list() == [True, True, False]
    assert reasons(done) == {3: "too_long"}
    assert "a conversation cannot be cut" in done.rejected["detail"][0]


def test_parts_of_parts_have_numbers_of_their_own() -> None:
    rows = batch(text("a b c"), text("d e f")).with_columns(
        pl.Series("part", [1, 2], pl.UInt32), offset=pl.lit(1, pl.UInt64)
    )
    assert run(Length(max=2, over="chunk"), rows).kept["part"].to_list() == [65537, 65538, 131073, 131074]


def test_an_accent_is_not_parted_from_its_letter() -> None:
    assert pieces("ae\u0301" * 4, 5, None, near=0.5) == ["ae\u0301a", "e\u0301ae\u0301", "ae\u0301"]


@settings(max_examples=60)
@given(
    st.text(st.sampled_from("ab \n.é中。!")),
    st.integers(1, 9),
    st.sampled_from([None, word_spans, TOKENS]),
)
def test_nothing_is_lost_in_pieces_and_all_fit(words: str, limit: int, spans: Spans | None) -> None:
    cut = pieces(words, limit, spans, near=0.5)
    assert re.sub(r"\s", "", "".join(cut)) == re.sub(r"\s", "", words)
    for piece in cut:
        assert piece == piece.strip()
        assert piece
        assert (len(piece) if spans is None else len(spans(piece, limit + 9))) <= limit or len(piece) == 1


def test_a_very_long_text_is_cut_in_linear_time() -> None:
    cut = pieces("word " * 400_000, 100, word_spans, near=0.5)
    assert len(cut) == 4000


SECTIONS = [
    Length(max=4, unit=unit, over=over)
    for unit in ("characters", "words", "tokens")
    for over in ("reject", "truncate", "chunk")
]


@settings(max_examples=40)
@given(st.lists(st.text(st.sampled_from("ab c.\n"), min_size=1), min_size=1, max_size=5), st.sampled_from(SECTIONS))
def test_a_row_fares_as_if_it_stood_alone(texts: list[str], section: Length) -> None:
    rows = batch(*[text(words) if n % 2 else pair("a", words) for n, words in enumerate(texts)])
    operator = build(section, TOOLS)
    whole = operator.function(rows)
    assert_same_rows(whole, in_parts(operator.function, rows))
    assert set(whole.kept["offset"]) | set(whole.rejected["offset"]) == set(rows["offset"]) or section.over == "chunk"
    assert not set(whole.kept["offset"]) & set(whole.rejected["offset"])


def test_bounds_that_cannot_be_are_refused() -> None:
    for section in (Length(min=5, max=4), Length(max=5, of="answer", over="chunk")):
        with pytest.raises(RecipeError) as caught:
            build(section, TOOLS)
        assert caught.value.next_step
