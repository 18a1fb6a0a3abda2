"""The bundled recogniser: what it promises on every text, and a few texts that it must get right."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pakar.errors import DataError
from pakar.prepare.names import Span, bundled
from tests.prepare.sources.helpers import SHARED

TEXTS = st.lists(
    st.lists(
        st.sampled_from(
            [
                "Ada",
                "Lovelace",
                "wrote",
                "to",
                "Dr",
                ".",
                "\n",
                "Ngozi",
                "Okafor",
                "O'Brien",
                "'s",
                "London",
                "Paget",
                "disease",
            ]
        )
        | st.text(max_size=6),
        max_size=12,
    ).map(" ".join),
    max_size=6,
)


def names(text: str) -> list[str]:
    (spans,) = bundled().find([text])
    return [text[span.start : span.end] for span in spans]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Yesterday Krisztián Szöllösy met Dr. Margaret O'Brien in Budapest.",
            ["Krisztián Szöllösy", "Margaret O'Brien"],
        ),
        ("The novel was written by J. K. Rowling in Edinburgh.", ["J. K. Rowling"]),
        ("My sister Mary-Jane lives with Nguyễn Văn Minh.", ["Mary-Jane", "Nguyễn Văn Minh"]),
        ("Jan van der Berg's daughter is called Chiamaka.", ["Jan van der Berg", "Chiamaka"]),
        ("I wish you the best.\nWarm regards,\nSarah Kessler, LCSW", ["Sarah Kessler"]),
        ("yesterday i talked to sarah miller about it", ["sarah miller"]),
        ("Dear Mr. Whitcombe, thank you for your letter.", ["Whitcombe"]),
    ],
)
def test_names_are_found_whole_without_titles_and_possessives(text: str, expected: list[str]) -> None:
    assert names(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Alzheimer's disease and Parkinson's disease are diseases of the brain.",
        "Crohn's disease, Down syndrome and Hodgkin lymphoma are treated at the hospital.",
        "In March the train from London to Paris was late.",
        "Microsoft and Toyota opened offices in Berlin on Monday.",
        "Treatment may include surgery, Prozac or Cognitive Behavioral Therapy.",
        "However, it rains. Perhaps they will mark the page.",
        "In a text with capitals a name has one: my friend sarah miller called.",
        "",
    ],
)
def test_eponyms_places_organisations_and_months_are_no_names(text: str) -> None:
    assert names(text) == []


@given(TEXTS)
@settings(deadline=None, max_examples=60)
def test_spans_lie_in_order_inside_their_text_and_start_and_end_in_letters(texts: list[str]) -> None:
    for text, spans in zip(texts, bundled().find(texts), strict=True):
        ends = [0, *(place for span in spans for place in span)]
        assert ends == sorted(ends)
        assert all(text[s.start].isalpha() and "\n" not in text[s.start : s.end] and s.end <= len(text) for s in spans)


@given(TEXTS)
@settings(deadline=None, max_examples=60)
def test_a_text_has_the_same_names_alone_and_in_company(texts: list[str]) -> None:
    recogniser = bundled()
    assert recogniser.find(texts) == [recogniser.find([text])[0] for text in texts]
    assert recogniser.find(texts[::-1]) == recogniser.find(texts)[::-1]


def test_long_batches_are_cut_without_a_trace() -> None:
    texts = [f"On day {n} Ngozi Okafor wrote to Ada." for n in range(2000)]
    found = bundled().find(texts)
    assert [text[s.start : s.end] for text, spans in zip(texts, found, strict=True) for s in spans] == [
        "Ngozi Okafor",
        "Ada",
    ] * 2000


def test_no_texts_no_names() -> None:
    assert bundled().find([]) == []
    assert bundled().find(["", "  \n"]) == [[], []]


def test_positions_count_characters_beyond_the_first_plane() -> None:
    assert bundled().find(["😀😀 Ngozi Okafor wrote to us."]) == [[Span(3, 15)]]


def test_damaged_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pakar.prepare.names.stored.SHA256", "0" * 64)
    bundled.cache_clear()
    with pytest.raises(DataError, match="not the one of this version"):
        bundled()


@pytest.mark.skipif(not SHARED.exists(), reason="the collection of real data is not at hand")
def test_counsellors_signatures_are_found_and_their_degrees_are_not() -> None:
    text = (SHARED / "counsel_chat" / "counsel_chat_2020_plain.csv").read_text("utf-8", "replace")
    assert "Sherry Katz, LCSW" in text
    assert "Sherry Katz" in names(text[text.index("Sherry Katz, LCSW") - 300 :][:320])
