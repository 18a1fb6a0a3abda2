from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pakar.report import diff

TEXTS = st.text(alphabet="ab <>/\n.", max_size=40)


@given(TEXTS, TEXTS)
def test_the_pieces_make_up_both_texts(before: str, after: str) -> None:
    pieces = diff.words(before, after)
    assert "".join(piece.text for piece in pieces if piece.kind != "added") == before
    assert "".join(piece.text for piece in pieces if piece.kind != "removed") == after


@given(TEXTS, TEXTS, st.integers(1, 30))
def test_a_window_is_short_and_whole_texts_stay_whole(before: str, after: str, limit: int) -> None:
    for whole, shown in zip((before, after), diff.window(before, after, limit), strict=True):
        assert len(shown) <= limit + 2
        assert shown.removeprefix(diff.CUT).removesuffix(diff.CUT) in whole
        if max(len(before), len(after)) <= limit:
            assert shown == whole


def test_a_window_stands_around_the_first_difference() -> None:
    before, after = ("word " * 400 + middle + " end" * 400 for middle in ("cafÃ©", "café"))
    shown = diff.window(before, after, 300)
    assert [("cafÃ©" in one, "café" in one) for one in shown] == [(True, False), (False, True)]
    kinds = [piece.kind for piece in diff.words(*shown)]
    assert kinds == ["same", "removed", "added", "same"]


def test_ends_that_were_cut_at_different_places_are_no_difference() -> None:
    before, after = diff.window("<b>" + "one two three " * 80, "one two three " * 80, 100)
    assert [piece.text for piece in diff.words(before, after) if piece.kind != "same"] == ["<b>"]
