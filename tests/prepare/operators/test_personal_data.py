from __future__ import annotations

import ipaddress
import logging
import random
import socket
import time

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pakar.errors import RecipeError
from pakar.prepare.operators import TOUCHED, Rows, personal_data
from pakar.prepare.operators.personal_data import hide_personal_data
from pakar.prepare.personal.detectors import detectors
from pakar.prepare.personal.found import Found, find_all, longest
from pakar.prepare.personal.placeholders import substitute
from pakar.prepare.personal.surroundings import PLACEHOLDER
from pakar.recipe.operators import PersonalData, PersonalType
from tests.prepare.operators.conversations import batch, contents

EVERYTHING: tuple[PersonalType, ...] = (*PersonalData().types, "link", "date-of-birth")
ALL = detectors(EVERYTHING, PersonalData().regions)
DEFAULT = detectors(PersonalData().types, PersonalData().regions)


def hidden(*texts: str, everything: bool = True) -> list[str]:
    return contents(hide_personal_data(batch(list(texts)), ALL if everything else DEFAULT, "replace").kept)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to anna@example.org.", "Write to [EMAIL_1]."),
        ("(bob.smith+news@mail.example.co.uk)", "([EMAIL_1])"),
        ("glued to a@example.org.Then more", "glued to [EMAIL_1].Then more"),
        ("Schreib an jörg@müller.de!", "Schreib an [EMAIL_1]!"),
        ("Call 212-555-2368 or (212) 555-2369.", "Call [PHONE_1] or [PHONE_2]."),
        ("+62 812-3456-7890 / 0812 3456 7891", "[PHONE_1] / [PHONE_2]"),
        ("London: 020 7946 0958, from abroad +44 20 7946 0959", "London: [PHONE_1], from abroad [PHONE_2]"),
        ("Berlin +49 30 901820", "Berlin [PHONE_1]"),
        ("my number is 2125552368", "my number is [PHONE_1]"),
        ("https://wa.me/6281234567890", "[LINK_1]"),
        ("(see https://example.org/a_(b)?x=1).", "(see [LINK_1])."),
        ("visit example.co.uk today", "visit [LINK_1] today"),
        ("server 203.0.113.9 went down", "server [IP_ADDRESS_1] went down"),
        ("from 2001:db8:85a3::8a2e:370:7334", "from [IP_ADDRESS_1]"),
        ("SSN 219-09-9998", "SSN [NATIONAL_ID_1]"),
        ("my ssn is 219099998", "my ssn is [NATIONAL_ID_1]"),
        ("NHS number 9434765919", "NHS number [NATIONAL_ID_1]"),
        ("NINO AB 12 34 56 C", "NINO [NATIONAL_ID_1]"),
        ("NIK saya 3171014507900001", "NIK saya [NATIONAL_ID_1]"),
        ("born on 12/03/1985 in Bonn", "born on [DATE_OF_BIRTH_1] in Bonn"),
        ("DOB: March 12, 1985", "DOB: [DATE_OF_BIRTH_1]"),
        ("lahir 3 Agustus 1990", "lahir [DATE_OF_BIRTH_1]"),
    ],
)
def test_personal_data_is_replaced(text: str, expected: str) -> None:
    assert hidden(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "p = 0.021, @xmath12 and 95 % CI 1.12 - 3.45, 10 - 15 of 2010 - 2015, 1 234 567 890 atoms",
        "3.14159265358 and 0.2125552368 and -6.200000, 106.816666",
        "12.345.678.901 people; 0 1 0 1 1 0 1 0 1 0 1; 100-200-3000",
        "doi:10.1016/S0140-6736(05)67864-0, PMID: 21255523, arXiv:1503.07290, hep-th/9901001, NCT01234567",
        "ISBN 978-0-13-110362-7 and 9780131103627, ISSN 0317-8471, BMJ 2003;361:1234-1240",
        "2019-01-02 12:30:45, 04-05-2021, 12/03/1985",
        "version 10.15.7.1, EC 3.4.21.4, section 1.2.3.4, 1.2.3.4.5, 127.0.0.1, 255.255.255.0, ::1, std::vector 10:20:30",
        "card 4111 1111 1111 1112, IBAN GB82 WEST 1234 5698 7654 33, 1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3",
        "Call 988, 116 123, 911, 112, 999, 1-800-273-8255 or 0800 1111",
        "the Seniors Distress Line (604-872-1234)",
        "toll-free 1-800-555-2671",
        "@anna wrote a @ b, x@localhost, @xcite and 3@4.5",
        "219099998 and 9434765919 and 2125552368 are numbers",
    ],
)
def test_what_looks_like_personal_data_but_is_none_stays(text: str) -> None:
    assert hidden(text, everything=False) == [text]


LOREM = ["{}", "My number is {}.", "({})", "pay to {}, please", "ends with {}\nNew line", "«{}»", "ñandú {} 😀", "{};"]


def luhn(digits: str) -> str:
    doubled = [sum(divmod(int(d) * (1 + (n % 2 == 0)), 10)) for n, d in enumerate(reversed(digits))]
    return digits + str(-sum(doubled) % 10)


def spaced(value: str, separator: str, groups: tuple[int, ...]) -> str:
    pieces, at = [], 0
    for group in groups:
        pieces.append(value[at : at + group])
        at += group
    return separator.join(piece for piece in [*pieces, value[at:]] if piece)


@given(st.sampled_from(["4", "51", "2221", "34", "6011", "3528", "36", "5018"]), st.data(), st.sampled_from(LOREM))
@settings(max_examples=60, deadline=None)
def test_card_numbers_are_found_in_all_written_forms_and_only_with_their_checksum(
    prefix: str, data: st.DataObject, sentence: str
) -> None:
    length = {"34": 15, "36": 14}.get(prefix, 16)
    body = data.draw(st.text("0123456789", min_size=length - 1 - len(prefix), max_size=length - 1 - len(prefix)))
    number = luhn(prefix + body)
    groups = {15: (4, 6), 14: (4, 6)}.get(length, (4, 4, 4))
    written = spaced(number, data.draw(st.sampled_from(["", " ", "-"])), groups)
    text = sentence.format(written)
    assert [text[one.start : one.end] for one in find_all(text, DEFAULT) if one.type == "credit-card"] == [written]
    wrong = written[:-1] + str((int(written[-1]) + 1) % 10)
    assert not [one for one in find_all(sentence.format(wrong), DEFAULT) if one.type == "credit-card"]


@pytest.mark.parametrize("sentence", LOREM)
@pytest.mark.parametrize(
    "account",
    [
        "GB82 WEST 1234 5698 7654 32",
        "DE89370400440532013000",
        "de89 3704 0044 0532 0130 00",
        "ES91-2100-0418-4502-0005-1332",
        "NO93 8601 1117 947",
        "MT84MALT011000012345MTLCAST001S",
    ],
)
def test_bank_accounts_are_found_whole(account: str, sentence: str) -> None:
    text = sentence.format(account)
    assert [text[one.start : one.end] for one in find_all(text, DEFAULT)] == [account]


def test_a_bank_account_ends_where_its_country_says() -> None:
    assert hidden("ES91 2100 0418 4502 0005 1332 were paid") == ["[IBAN_1] were paid"]
    assert hidden("NO93 8601 1117 947 2019") == ["[IBAN_1] 2019"]


@pytest.mark.parametrize(
    "wallet",
    [
        "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
        "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
        "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
        "0xde0B295669a9FD93d5F28D9Ec85E40f4cb697BAe",
    ],
)
def test_wallets_are_found_by_checksum(wallet: str) -> None:
    assert hidden(f"send it to {wallet}.") == ["send it to [CRYPTO_WALLET_1]."]


def test_values_have_one_placeholder_in_all_messages_of_a_row_however_they_are_written() -> None:
    assert hidden(
        "I am Anna@Example.org, card 4111 1111 1111 1111.",
        "Is anna@example.org right, or bob@example.org? And 4111-1111-1111-1111?",
    ) == ["I am [EMAIL_1], card [CREDIT_CARD_1].", "Is [EMAIL_1] right, or [EMAIL_2]? And [CREDIT_CARD_1]?"]


def test_new_placeholders_do_not_take_the_numbers_of_those_that_are_there() -> None:
    assert hidden("[EMAIL_1] and [EMAIL_7]", "bob@example.org") == ["[EMAIL_1] and [EMAIL_7]", "[EMAIL_8]"]


def test_numbering_starts_anew_in_every_row_and_only_changed_rows_are_touched() -> None:
    rows = batch(["a@example.org", "fine"], ["nothing", "here"], [], ["b@example.org"])
    kept = hide_personal_data(rows, DEFAULT, "replace").kept
    assert contents(kept) == [["[EMAIL_1]", "fine"], ["nothing", "here"], [], ["[EMAIL_1]"]]
    assert kept[TOUCHED].to_list() == [True, False, False, True]
    assert kept.drop(TOUCHED).schema == rows.schema


def test_rejected_rows_tell_types_and_never_values() -> None:
    rows = batch(["Mail a@example.org or call 212-555-2368", "ok"], ["fine", "fine"])
    kept, rejected = hide_personal_data(rows, DEFAULT, "reject")
    assert kept["offset"].to_list() == [2]
    assert rejected.select("offset", "reason", "operator", "detail", "text").rows() == [
        (1, "personal_data", "personal-data", "email, phone", "Mail [EMAIL_1] or call [PHONE_1]\nok")
    ]


def test_the_longest_find_wins_then_the_one_with_a_checksum() -> None:
    phone, card = Found(0, 12, "phone"), Found(0, 19, "credit-card", verified=True)
    assert longest([phone, card]) == [card]
    assert longest([Found(0, 12, "phone"), Found(0, 12, "national-id", verified=True)])[0].type == "national-id"
    assert hidden("https://example.org/?mail=a@example.org") == ["[LINK_1]"]
    assert hidden("https://example.org/?mail=a@example.org", everything=False) == [
        "https://example.org/?mail=[EMAIL_1]"
    ]


def test_another_countrys_identity_numbers_are_found_when_it_is_among_the_regions() -> None:
    polish = detectors(("national-id",), ("PL", "FI"))
    text = "PESEL 44051401359, hetu 131052-308T"
    assert [text[one.start : one.end] for one in find_all(text, polish)] == ["44051401359", "131052-308T"]
    assert not find_all(text, detectors(("national-id",), ("US",)))
    assert detectors(("national-id",), ("JP",)) == []


def test_an_unknown_region_is_told_with_what_to_write() -> None:
    with pytest.raises(RecipeError, match=r"'UK'.*expected ISO 3166"):
        detectors(("phone",), ("UK",))


def test_without_regions_international_numbers_are_found() -> None:
    text = "+62 812-3456-7890 and 212-555-2368"
    assert [text[one.start : one.end] for one in find_all(text, detectors(("phone",), ()))] == ["+62 812-3456-7890"]


PIECES = st.sampled_from(
    [
        "a@example.org +44 20 7946 0958",
        "212-555-2368",
        "2125552368",
        "call",
        "4111 1111 1111 1111",
        "DE89370400440532013000",
        "219-09-9998",
        "203.0.113.9",
        "NHS",
        "943 476 5919",
        "https://example.org/x",
        "[EMAIL_1]",
        "[PHONE_2]",
        "born",
        "12/03/1985",
        "1.2.3.4",
        "ip",
        "é😀",
        "0812",
        "10 - 15",
        "p = 0.021",
        ",",
        ".",
        "\n",
        "(",
        ")",
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=6), max_size=9).flatmap(
    lambda pieces: st.sampled_from([" ", "", "-"]).map(lambda gap: gap.join(pieces))
)


@given(st.lists(TEXTS, max_size=3))
@settings(max_examples=40, deadline=None)
@example(["phone a@example.org 2125552368"])
@example(["[IP_ADDRESS_1] 1.2.3.4"])
def test_a_second_run_changes_nothing(texts: list[str]) -> None:
    once = hide_personal_data(batch(texts), ALL, "replace").kept
    again = hide_personal_data(once, ALL, "replace").kept
    assert contents(again) == contents(once)


@given(TEXTS)
@settings(max_examples=60, deadline=None)
def test_finds_lie_in_the_text_do_not_overlap_and_pass_the_prefilter(text: str) -> None:
    found = find_all(text, ALL)
    ends = [0, *(one.end for one in found)]
    assert all(0 <= one.start < one.end <= len(text) for one in found)
    assert all(one.start >= end for one, end in zip(found, ends, strict=False))
    for detector in ALL:
        if list(detector.find(text)):
            assert pl.Series([text]).str.contains(detector.candidates).item()


@given(st.lists(st.lists(TEXTS, min_size=1, max_size=2), min_size=1, max_size=5), st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_batches_may_be_cut_anywhere(conversations: list[list[str]], cut: int) -> None:
    rows = batch(*conversations)
    parts = [hide_personal_data(part, ALL, "replace").kept for part in (rows[:cut], rows[cut:])]
    assert pl.concat(parts).equals(hide_personal_data(rows, ALL, "replace").kept)


@given(st.integers(0, 2**32 - 1), st.text(max_size=5))
@settings(max_examples=60, deadline=None)
def test_addresses_of_machines_are_found_at_the_right_place(number: int, around: str) -> None:
    address = str(ipaddress.IPv4Address(number))
    text = f"{around} ip {address} {around}"
    found = [text[one.start : one.end] for one in find_all(text, DEFAULT) if one.type == "ip-address"]
    special = ipaddress.IPv4Address(number)
    assert found == ([] if special.is_loopback or special.is_multicast or special.is_unspecified else [address])


def test_nothing_needs_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    fresh = detectors(EVERYTHING, ("US",))
    assert len(find_all("a@some-new.example.org, +1 212-555-2368, https://example.museum", fresh)) == 3


def test_no_text_gets_into_logs(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    values = ["a@example.org", "GB82 WEST 1234 5698 7654 32", "4111 1111 1111 1111", "٣٤١١", "GB٨٢WEST12345698765432"]
    with caplog.at_level(logging.INFO):
        hidden(" ".join(values))
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("piece", ["a@", "1 ", "a.", "1", "GB82", "1:", "-1", "aaaa/", "0812-", "https://("])
def test_hostile_texts_take_linear_time(piece: str) -> None:
    started = time.process_time()
    find_all(piece * 20_000 + "a@b.org", ALL)
    assert time.process_time() - started < 10  # quadratic time would be hours


def test_the_recipe_builds_it() -> None:
    operator = personal_data.build(PersonalData(treatment="reject"), None)  # type: ignore[arg-type]  # it needs no tools
    assert isinstance(operator, Rows)
    assert operator.function(batch(["a@example.org"])).rejected["reason"].to_list() == ["personal_data"]


def test_substitution_keeps_everything_else() -> None:
    numbers = random.Random(7)
    text = "".join(numbers.choices("aé😀 ", k=200))
    assert substitute(text, {(3, 5): "X", (10, 12): "YY"}) == text[:3] + "X" + text[5:10] + "YY" + text[12:]
    assert PLACEHOLDER.fullmatch("[CREDIT_CARD_12]")
