from __future__ import annotations

import gzip
import re
from collections.abc import Callable

import ftfy
import polars as pl
import pytest
from ftfy.badness import is_bad
from hypothesis import given
from hypothesis import strategies as st

from pakar.prepare.operators import encoding
from pakar.prepare.operators.case_folding import fold_case
from pakar.prepare.operators.control_characters import remove_control_characters
from pakar.prepare.operators.encoding import repair_encoding, signs_of_wrong_decoding
from pakar.prepare.operators.html import html_to_text
from pakar.prepare.operators.reference_scientific import clean_as_reference
from pakar.prepare.operators.scientific_marks import remove_scientific_marks
from pakar.prepare.operators.white_space import tidy_white_space
from tests.prepare.operators.helpers import one
from tests.prepare.sources.helpers import shared

Cleaner = Callable[[pl.Series], pl.Series]
STABLE: list[Cleaner] = [repair_encoding, remove_control_characters, tidy_white_space, fold_case]
CLEANERS = [*STABLE, html_to_text, remove_scientific_marks, clean_as_reference]

# Letters that wrong decoding makes, among plain ones.
BROKEN = st.text("ÃÂâ€™œ\x9d\x80\xa0¡´ÐÑ·\u0387ГВЂаб‚Ä√≈│ïüÅ’”…\ufffd \nabcZ.,?!e\u0301", max_size=12)


@given(st.lists(st.text()), st.sampled_from(STABLE))
def test_clean_text_stays_as_it_is(texts: list[str], cleaner: Cleaner) -> None:
    once = cleaner(pl.Series("t", texts, pl.String))
    assert cleaner(once).to_list() == once.to_list()


@given(st.lists(st.text(), min_size=1), st.sampled_from(CLEANERS))
def test_a_text_is_cleaned_as_if_it_stood_alone(texts: list[str], cleaner: Cleaner) -> None:
    cleaned = cleaner(pl.Series("t", texts))
    assert cleaned.name == "t"
    assert cleaned.to_list() == [one(cleaner, text) for text in texts]


@pytest.mark.parametrize("cleaner", CLEANERS)
def test_no_texts_are_no_texts(cleaner: Cleaner) -> None:
    assert cleaner(pl.Series("t", [], pl.String)).to_list() == []


@given(st.lists(BROKEN, min_size=1))
def test_encoding_repairs_all_that_ftfy_repairs(texts: list[str]) -> None:
    expected = [ftfy.fix_text(text, encoding._REPAIR) for text in texts]
    assert repair_encoding(pl.Series(texts)).to_list() == expected


@given(BROKEN)
def test_the_engine_sees_every_sign_of_wrong_decoding_that_ftfy_sees(text: str) -> None:
    if any(is_bad(line) for line in text.split("\n")):
        assert pl.Series([text]).str.contains(signs_of_wrong_decoding())[0]


@pytest.mark.parametrize(
    "name",
    [
        "mental_health_faq/Mental_Health_FAQ_74_bom_crlf.csv",
        "counsel_chat/counsel_chat_2020_plain.csv",
        "medquad/medquad.jsonl.gz",
    ],
)
def test_real_files_are_repaired_as_by_ftfy(name: str) -> None:
    path = shared(name)
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = pl.Series([line for line in data.decode("utf-8", "replace").split("\n") if not line.isascii()])
    assert len(lines) > 0
    assert repair_encoding(lines).to_list() == [ftfy.fix_text(line, encoding._REPAIR) for line in lines]


@pytest.mark.parametrize(
    ("cleaner", "dirty", "expected"),
    [
        (repair_encoding, "donâ€™t", "don’t"),
        (repair_encoding, "cafe\u0301", "café"),
        (repair_encoding, "“Curly” quotes, 5 µm ± 0.3", "“Curly” quotes, 5 µm ± 0.3"),
        (html_to_text, "use the <b> tag", "use the <b> tag"),
        (html_to_text, "How do I close a <div>?", "How do I close a <div>?"),
        (html_to_text, "`<b>x</b>` is <i>bold</i>", "`<b>x</b>` is bold"),
        (html_to_text, "```html\n<p>Hi</p>\n```\n<p>So</p>", "```html\n<p>Hi</p>\n```\n\nSo"),
        (html_to_text, '<div class="post">cut off here', "cut off here"),
        (html_to_text, "<code>&lt;b&gt;</code> makes bold", "<b> makes bold"),
        (html_to_text, "a &lt; b &amp; c", "a < b & c"),
        (remove_control_characters, "a\u202eb\u2066c\u061cd", "abcd"),
        (remove_control_characters, "hi\U000e0041\U000e0042", "hi"),
        (remove_control_characters, "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"),
        (remove_control_characters, "❤\ufe0f", "❤\ufe0f"),
        (remove_control_characters, "❤\ufe0f\ufe0e\U000e0101", "❤\ufe0f"),
        (remove_control_characters, "se\u200dcret \u200cword", "secret word"),
        (remove_control_characters, "👩\u200d👧 می\u200cروم", "👩\u200d👧 می\u200cروم"),
        (remove_control_characters, "x\ufff9y\ufffaz\ufffb\ufffc", "xyz"),
        (fold_case, "Straße ÉTÉ", "straße été"),
        (remove_scientific_marks, "as in @xcite , the mass @xmath0 is 5", "as in , the mass is 5"),
        (remove_scientific_marks, "excited states, xcite and xmath12", "excited states, and"),
        (remove_scientific_marks, "12@xmath0kpc and m@xmath051 , h@xmath2", "12 kpc and m 51 , h"),
        (remove_scientific_marks, "high - @xmath0 and @xmath1-ray data of @xmath2 %", "high and ray data of"),
        (remove_scientific_marks, "the interval @xmath1 $ ] days ( @xmath3 )", "the interval days"),
        (remove_scientific_marks, "p = 0.021 ,\nlong - range , so .\nnext", "p = 0.021 , long-range , so . next"),
        (remove_scientific_marks, "one . \n two . \n\n three .", "one . two .\n\nthree ."),
        (remove_scientific_marks, "I was tired - very tired.\n- a list\n- stays", "I was tired - very tired.\n- a list\n- stays"),
    ],
)  # fmt: skip
def test_texts_are_cleaned(cleaner: Cleaner, dirty: str, expected: str) -> None:
    assert one(cleaner, dirty) == expected


TOKENS = st.sampled_from(
    [
        "@xcite",
        "@xmath0",
        "@xmath12-ray",
        "s@xmath1",
        "$ ]",
        ".",
        ",",
        "(",
        ")",
        "-",
        "\n",
        "\n\n",
        "word",
        "0.021",
        "12",
        "x",
    ]
)


@given(st.lists(TOKENS))
def test_marks_go_and_numbers_stay(tokens: list[str]) -> None:
    dirty = " ".join(tokens)
    cleaned = one(remove_scientific_marks, dirty)
    assert not re.search(r"xcite|xmath|\$ \]", cleaned)
    assert re.findall(r"[0-9.]*[0-9]", cleaned) == re.findall(r"[0-9.]*[0-9]", re.sub(r"@xmath[0-9]+", " ", dirty))


def test_scientific_marks_do_not_come_back_on_real_abstracts() -> None:
    path = shared("arxiv_abstracts/arxiv_abstracts_a.csv.gz")
    abstracts = pl.read_csv(path, has_header=False).to_series()
    cleaned = remove_scientific_marks(abstracts)
    assert remove_scientific_marks(cleaned).to_list() == cleaned.to_list()
    unmarked = abstracts.str.replace_all(r"@?xmath(?:0|[1-9][0-9]*)", " ")
    assert cleaned.str.extract_all(r"[0-9]+").to_list() == unmarked.str.extract_all(r"[0-9]+").to_list()


def reference(text: str) -> str:
    """The published steps, one by one, with Java's meaning of `\\s`."""
    text = text.lower()
    for pattern in ("xcite", "@xcite", "xmath[0-9]+", "\n", "[^a-zA-Z0-9 \t\n\x0b\f\r]"):
        text = re.sub(pattern, "", text)
    return text


SCIENTIFIC = st.lists(
    st.sampled_from(
        ["xcite", "@", "xmath", "12", "xc", "ite", "\n", " ", ".", "é", "A", "İ", "K", "\x0b", "\t", "x", "-"]
    )
).map("".join)


@given(st.lists(SCIENTIFIC | st.text(), min_size=1))
def test_reference_cleaning_is_the_published_one(texts: list[str]) -> None:
    assert clean_as_reference(pl.Series(texts)).to_list() == [reference(text) for text in texts]


def test_reference_cleaning_does_its_harm() -> None:
    assert one(clean_as_reference, "birads.results") == "biradsresults"
    assert one(clean_as_reference, "p = 0.021") == "p  0021"
    assert one(clean_as_reference, "an excited café\nhere") == "an ed cafhere"
