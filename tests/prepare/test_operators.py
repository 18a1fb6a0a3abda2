from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pakar.conversation import Message
from pakar.models.prompt import renderer
from pakar.prepare import kernel
from pakar.prepare.frames import RECORDS, Sieved
from pakar.prepare.operators import Step, Texts
from pakar.prepare.operators.context import TOKEN_COLUMNS, fit_context, render
from pakar.prepare.operators.control_characters import remove_control_characters
from pakar.prepare.operators.empty import reject_empty
from pakar.prepare.operators.encoding import repair_encoding
from pakar.prepare.operators.html import html_to_text
from pakar.prepare.operators.white_space import tidy_white_space
from tests import tiny

CLEANERS = {
    "encoding": repair_encoding,
    "html": html_to_text,
    "control-characters": remove_control_characters,
    "white-space": tidy_white_space,
}


def clean(name: str, text: str) -> str:
    return str(CLEANERS[name](pl.Series("text", [text]))[0])


def batch(*conversations: list[tuple[str, str]]) -> pl.DataFrame:
    rows = [
        {"source": "s", "offset": n + 1, "part": 0, "group": None, "label": None}
        | {"messages": [{"role": role, "content": words} for role, words in turns]}
        for n, turns in enumerate(conversations)
    ]
    return pl.DataFrame(rows, schema=RECORDS)


def pair(question: str, answer: str) -> list[tuple[str, str]]:
    return [("user", question), ("assistant", answer)]


@pytest.mark.parametrize(
    ("name", "dirty", "expected"),
    [
        ("encoding", "donâ€™t", "don’t"),
        ("encoding", "cafe\u0301", "café"),
        ("encoding", "“Curly” quotes stay", "“Curly” quotes stay"),
        ("html", "<p>Breathe&nbsp;slowly.</p><p>Then <b>rest</b>.</p>", "Breathe\xa0slowly.\n\nThen rest."),
        ("html", "<p><br></p>", ""),
        ("html", "a<br>b<br/>c", "a\nb\nc"),
        ("html", "<ul><li>one</li><li>two</li></ul>", "one\n\ntwo"),
        ("html", "Tom &amp; Ann &lt;3", "Tom & Ann <3"),
        ("html", "3 < 4 and <unk> and {{name}} stay", "3 < 4 and <unk> and {{name}} stay"),
        ("html", 'Look: <img src="data:image/png;base64,AAAA"> here', "Look:  here"),
        ("html", "<script>alert(1)</script>Hello", "Hello"),
        ("control-characters", "a\u200bb\u00adc\x07d\ufeff", "abcd"),
        ("control-characters", "می\u200cروم", "می\u200cروم"),
        ("control-characters", "one\u2028two", "one\ntwo"),
        ("white-space", "  a\u00a0 b\t c \r\n\r\n\r\n\r\n d ", "a b c\n\nd"),
        ("white-space", "```\nif x:\n    y()\n```", "```\nif x:\n    y()\n```"),
    ],
)
def test_cleaners(name: str, dirty: str, expected: str) -> None:
    assert clean(name, dirty) == expected


@given(st.text(), st.sampled_from(sorted(CLEANERS)))
def test_clean_text_stays_as_it_is(text: str, name: str) -> None:
    if name == "html":  # `&amp;lt;` is unfolded by one level at a time, on purpose
        text = text.replace("&", "")
    once = clean(name, text)
    assert clean(name, once) == once


@given(st.lists(st.text(alphabet=st.characters(codec="ascii", exclude_characters="<>&"), min_size=1)))
def test_html_leaves_plain_ascii_alone(texts: list[str]) -> None:
    assert CLEANERS["html"](pl.Series("t", texts, pl.String)).to_list() == texts


def test_operators_run_in_order_and_tell_in_which_rows_they_changed_something() -> None:
    steps = [Step(name, Texts(CLEANERS[name])) for name in ("html", "white-space")]
    rows = batch(pair("a  b", "c  d"), pair("fine", "fine"), pair("fine", "<p>fine</p>"), [("text", "x  y")])
    done = kernel.run(kernel.begin(rows), steps, kernel.Seconds(float))
    assert dict(kernel.changes(done.kept, [step.name for step in steps])) == {"html": 1, "white-space": 2}
    assert done.kept["messages"].to_list()[0] == [
        {"role": "user", "content": "a b", "learn": None},
        {"role": "assistant", "content": "c d", "learn": None},
    ]
    assert done.kept["messages"].to_list()[2][1]["content"] == "fine"


def reasons(sieved: Sieved) -> dict[int, str]:
    return dict(sieved.rejected.select("offset", "reason").iter_rows())


def test_rows_that_say_nothing_are_rejected_by_reason() -> None:
    sieved = reject_empty(
        batch(
            pair("Why?", ""),
            pair("", "Because."),
            pair("Why?", " -- "),
            pair("Why?", "👍"),
            [("text", "")],
            [("system", ""), *pair("Why?", "Because.")],
        )
    )
    assert reasons(sieved) == {1: "empty_answer", 2: "empty_question", 3: "empty_answer", 5: "empty_text"}
    assert [len(messages) for messages in sieved.kept["messages"]] == [2, 2]


def test_too_long_examples_are_cut_or_rejected_openly() -> None:
    prompts = renderer(tiny.tokenizer())
    rows = batch(pair("Short?", "Yes."), pair("Short?", "Go to bed. " * 30), pair("Long? " * 60, "Yes."))
    cut = fit_context(rows, prompts, 40, "truncate")
    assert reasons(cut) == {3: "prompt_too_long"}
    assert cut.kept["truncated"].to_list() == [False, True]
    assert cut.kept["input_ids"].list.len().to_list()[1] == 40
    assert reasons(fit_context(rows, prompts, 40, "reject")) == {2: "too_long", 3: "prompt_too_long"}


def test_rows_are_rendered_together_as_each_one_alone() -> None:
    prompts = renderer(tiny.tokenizer())
    turns = [pair("Short?", "Yes <|end|>."), [("text", "Sleep is good. " * 9)], [*pair("A?", "B."), *pair("C?", "D.")]]
    done = render(batch(*turns), prompts, 40)
    assert {name: done.schema[name] for name in TOKEN_COLUMNS} == dict(TOKEN_COLUMNS)
    for row, said in zip(done.iter_rows(named=True), turns, strict=True):
        ids, mask = prompts.example(tuple(Message(role, words) for role, words in said))  # type: ignore[arg-type]
        assert (row["input_ids"], row["loss_mask"], row["truncated"]) == (ids, mask, False)
        assert (row["question_tokens"], row["answer_tokens"]) == (mask.count(0), mask.count(1))
    assert render(batch(), prompts, 40).is_empty()
