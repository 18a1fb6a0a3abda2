from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pakar.prepare.helplines import HELPLINE, LINES, is_helpline


@pytest.mark.parametrize(
    "number",
    [
        "988", "911", "112", "116 123", "+44 116 123", "116-123", "13 11 14", "+61 13 11 14", "741741", "678-678",
        "1-800-273-8255", "(800) 273-8255", "+1 800.273.8255", "1-800-273-TALK", "1-800-SUICIDE", "001 800 273 8255",
        "0800 111 0 111", "+49 (0)800 1110111", "0049 800 1110111", "8-800-2000-122", "+7 800 200 01 22", "119 ext 8",
        "tel:988", "021 500 454".removeprefix("021 "), "0800 1111",
    ],
)  # fmt: skip
def test_helplines_are_known_however_they_are_written(number: str) -> None:
    assert is_helpline(number)


@pytest.mark.parametrize(
    "number", ["", "call", "020 7946 0000", "(555) 010-0199", "+62 812 0000 0000", "9880", "1988", "0.021"]
)
def test_other_numbers_are_not_helplines(number: str) -> None:
    assert not is_helpline(number)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("You can call or text 988, day and night.", True),
        ("the 988 Lifeline", True),
        ("Text HOME to 741741", True),
        ("Samaritans: 116 123", True),
        ("Ring (800) 273-8255.", True),
        ("In an emergency dial 112!", True),
        ("988 patients were seen in room 112", False),
        ("My number is 020 7946 0000", False),
        ("p = 0.021, n = 1998", False),
        ("item 119881", False),
    ],
)
def test_texts_that_name_a_helpline_are_found_by_both_engines(text: str, named: bool) -> None:
    assert pl.Series([text]).str.contains(HELPLINE)[0] is named
    assert (re.search(HELPLINE, text) is not None) is named


@given(st.sampled_from(sorted(LINES)), st.data(), st.sampled_from([" ", "-", ".", ""]))
def test_every_listed_number_is_known_at_home_and_from_abroad(country: str, data: st.DataObject, mark: str) -> None:
    lines = LINES[country]
    number = data.draw(st.sampled_from([number.strip() for number in lines.numbers.split(",")]))
    assert is_helpline(re.sub("[ -]", mark, number))
    if len(re.sub(r"\D", "", number)) > 5 and number[0] not in "018":
        assert is_helpline(f"+{lines.calling_code} {number}")
    assert re.search(HELPLINE, f"Please call {number}.")
