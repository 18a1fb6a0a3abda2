from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pakar.errors import RecipeError
from pakar.models.prompt import renderer
from pakar.prepare.frames import Sieved
from pakar.prepare.operators import Tools, boilerplate, language, patterns, placeholders, repetition, unsafe
from pakar.prepare.operators.boilerplate import drop_furniture, find_boilerplate
from pakar.prepare.operators.language import detect
from pakar.prepare.operators.patterns import (
    replace_emails,
    replace_links,
    replace_numbers,
    replace_phones,
    treat_patterns,
)
from pakar.prepare.operators.placeholders import find_placeholders, sieve_placeholders
from pakar.prepare.operators.repetition import find_repetition
from pakar.prepare.operators.unsafe import KINDS, find_unsafe, sieve_unsafe
from pakar.prepare.rows import mark, rewrite
from pakar.recipe.operators import Language, Patterns, Placeholders, Unsafe
from tests import tiny
from tests.prepare.operators.helpers import assert_same_rows, batch, contents, in_parts, one, pair, reasons, text

PROSE = (
    "The doctor asked me how long I had been feeling tired, and I could not remember a morning when I woke up rested. She then "
    "said that sleep matters more than most people think, and that a short walk in daylight helps many of those who lie awake. "
    "We made a plan together for the coming weeks, with small steps, and a date to look back on them."
)
SENTENCES = ["Sleep well.", "Visit www.example.org today.", "Call 988 now.", "I am 40.", "Hello {{name}}!", "Click here.", "\n", "©",
             "Stop taking your medication today.", "It is not your fault.", "word " * 60, "Saya tidak bisa tidur malam ini.", "[LINK]"]  # fmt: skip

OPERATORS: dict[str, Callable[[pl.DataFrame], Sieved]] = {
    "repetition": repetition.reject_repetition,
    "boilerplate": boilerplate.reject_boilerplate,
    "language": lambda rows: language.keep_languages(rows, Language(keep=("en",))),
    "patterns": lambda rows: treat_patterns(rows, Patterns(links="replace", numbers="reject")),
    "placeholders, flagged": lambda rows: sieve_placeholders(rows, Placeholders()),
    "placeholders, rejected": lambda rows: sieve_placeholders(rows, Placeholders(treatment="reject")),
    "unsafe, flagged": lambda rows: sieve_unsafe(rows, Unsafe()),
    "unsafe, rejected": lambda rows: sieve_unsafe(rows, Unsafe(treatment="reject")),
}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=4).map(" ".join), min_size=1, max_size=4),
    st.sampled_from(sorted(OPERATORS)),
)
def test_every_row_fares_as_if_it_stood_alone_and_none_is_lost(texts: list[str], name: str) -> None:
    rows = batch(*[pair("Why?", words) if n % 2 else text(words) for n, words in enumerate(texts)])
    whole = OPERATORS[name](rows)
    assert_same_rows(whole, in_parts(OPERATORS[name], rows))
    assert sorted([*whole.kept["offset"], *whole.rejected["offset"]]) == rows["offset"].to_list()
    again = OPERATORS[name](whole.kept.select(rows.columns))
    assert again.rejected.is_empty()
    assert contents(again.kept) == contents(whole.kept)


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_no_rows_are_no_rows(name: str) -> None:
    done = OPERATORS[name](batch())
    assert done.kept.is_empty()
    assert done.rejected.is_empty()


def test_flags_are_appended_and_contents_rewritten_by_role() -> None:
    rows = mark(
        mark(batch(pair("a", "b"), pair("c", "d")), pl.Series([True, False]), "x"), pl.Series([True, True]), "y"
    )
    assert rows["flags"].to_list() == [["x", "y"], ["y"]]
    done = rewrite(rows, lambda texts: texts.str.replace("b", "B").str.replace("a", "A"), ("assistant",))
    assert contents(done) == ["B", "d"]
    assert done["messages"][0].to_list()[0] == {"role": "user", "content": "a", "learn": None}
    assert done["touched"].to_list() == [True, False]


@pytest.mark.parametrize(
    ("repeated", "rule"),
    [
        ("\n".join(["The same line."] * 5), "duplicate lines: 0.8 (limit 0.3)"),
        ("\n\n".join(["A par."] * 3 + ["Another one.", "And a third one."]), "duplicate lines"),
        ("Sleep well tonight. " * 30, "characters in the commonest run of 2 words"),
        (f"{PROSE} {PROSE}", "characters in duplicate runs of 5 words"),
    ],
)
def test_repetition_is_found_with_its_rule(repeated: str, rule: str) -> None:
    assert str(find_repetition(pl.Series([repeated]))[0]).startswith(rule)


@pytest.mark.parametrize("fine", [PROSE, "Yes.", "ha ha ha ha ha", "Take care. Take care.", "", "a\nb\na", None])
def test_short_or_varied_texts_are_no_repetition(fine: str | None) -> None:
    assert find_repetition(pl.Series([fine], dtype=pl.String))[0] is None


def naive_duplicates(words: list[str], n: int) -> float:
    """Share of characters covered by runs of n words that stood before, word by word."""
    seen: set[tuple[str, ...]] = set()
    covered: set[int] = set()
    for start in range(len(words) - n + 1):
        run = tuple(words[start : start + n])
        if run in seen:
            covered |= set(range(start, start + n))
        seen.add(run)
    return sum(len(words[at]) for at in covered) / max(1, sum(map(len, words)))


@given(
    st.lists(st.lists(st.sampled_from(["a", "bb", "ccc", "d"]), min_size=1, max_size=30), min_size=1, max_size=4),
    st.integers(2, 10),
)
def test_duplicate_runs_are_those_of_the_plain_definition(texts: list[list[str]], n: int) -> None:
    words = repetition._words(pl.Series([" ".join(text) for text in texts]))
    assert repetition._duplicate_share(words, n).tolist() == pytest.approx(
        [naive_duplicates(text, n) for text in texts]
    )


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("- a b\n" * 60, "mean word length"),
        ("# heading " * 60, "hash signs per word"),
        ("and so on... " * 60, "ellipses per word"),
        ("- every line is a bullet\n" * 20, "lines that begin with a bullet"),
        (
            "this line is quite long enough, as it has more than ten words, but ends...\n" * 20,
            "lines that end with an ellipsis",
        ),
        ("12345 67890 words " * 40, "words with a letter"),
        (PROSE, None),
        ("- a b\n" * 10, None),
        ("医生问我感到疲倦有多久了。" * 60, None),
    ],
)
def test_what_is_not_prose_is_found_with_its_rule(words: str, rule: str | None) -> None:
    found = find_boilerplate(pl.Series([words]))[0]
    assert found is None if rule is None else str(found).startswith(rule)


@pytest.mark.parametrize(
    "line",
    ["Click here to read more.", "© 2020 Some Firm", "All rights reserved.", "Share on Facebook", "Home > Health > Sleep", "Skip to main content",
     "This website uses cookies to make it work.", "ADVERTISEMENT", "Privacy Policy | Terms of Use", "Share this article on Facebook, Twitter", "12 comments"],
)  # fmt: skip
def test_page_furniture_goes_and_its_neighbours_stay(line: str) -> None:
    assert one(drop_furniture, f"Sleep well.\n{line}\nGood night.") == "Sleep well.\nGood night."


@pytest.mark.parametrize(
    "line",
    [
        "Cookies contain sugar.",
        "Home is where I rest.",
        "Share your worries with a friend.",
        "Main > point: " + "x " * 99,
    ],
)
def test_sentences_are_no_furniture(line: str) -> None:
    assert one(drop_furniture, f"One.\n{line}\nTwo.") == f"One.\n{line}\nTwo."


def test_rows_of_nothing_but_furniture_are_rejected_and_single_lines_stay() -> None:
    done = boilerplate.reject_boilerplate(batch(pair("Why?", "Read more\nShare"), pair("What?", "Cookie policy")))
    assert reasons(done) == {1: "boilerplate"}
    assert done.rejected["detail"].to_list() == ["nothing but page furniture"]
    assert contents(done.kept) == ["Cookie policy"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (PROSE, "en"),
        (
            "Dokter bertanya sudah berapa lama saya merasa lelah, dan saya tidak ingat kapan terakhir bangun dengan segar.",
            "id",
        ),
        ("Der Arzt fragte mich, wie lange ich mich schon müde fühle.", "de"),
        ("Le médecin m'a demandé depuis combien de temps je me sentais fatigué.", "fr"),
        ("Врач спросил, как давно я чувствую усталость.", "ru"),
        ("医生问我感到疲倦有多久了,我想不起哪天早上醒来时是精神饱满的。", "zh"),
        ("سألني الطبيب منذ متى أشعر بالتعب.", "ar"),
        ("ok", "und"),
        ("123 456 https://example.org/en/page", "und"),
        ("", "und"),
    ],
)
def test_languages_are_found(words: str, code: str) -> None:
    assert detect(pl.Series([words]))["language"][0] == code


def test_rows_in_other_languages_are_rejected_and_doubtful_ones_stay() -> None:
    rows = batch(
        pair("Why am I always so tired?", PROSE),
        pair("Warum bin ich immer so müde?", "Das kann viele Gründe haben."),
        pair("?", "ok"),
    )
    done = language.keep_languages(rows, Language())
    assert reasons(done) == {2: "language"}
    assert done.rejected["detail"][0].startswith("de, certainty ")
    assert reasons(language.keep_languages(rows, Language(keep=("en", "de")))) == {}


def test_an_unknown_language_is_refused_with_codes_to_choose_from() -> None:
    with pytest.raises(RecipeError, match="english"):
        language.build(Language(keep=("english",)), Tools(renderer(tiny.tokenizer())))


@pytest.mark.parametrize(
    ("function", "dirty", "clean"),
    [
        (replace_links, "See https://example.org/a?b=1. Also (www.example.com)!", "See [LINK]. Also ([LINK])!"),
        (replace_links, "example.com/page, jo@example.com end.In the node.js", "[LINK], jo@example.com end.In the node.js"),
        (replace_emails, "mail jo.b+x@mail.example.com.", "mail [EMAIL]."),
        (replace_phones, "Call +44 20 7946 0000 or (555) 010-0199.", "Call [PHONE] or [PHONE]."),
        (replace_phones, "phone me at 555 1234", "phone me at [PHONE]"),
        (replace_phones, "1998-2003, 10.1000/182-34, 2020-01-02 12:30, 1,000,000", "1998-2003, 10.1000/182-34, 2020-01-02 12:30, 1,000,000"),
        (replace_phones, "Call 988, 116 123, +1 (800) 273-8255 or 1-800-222-1222.", "Call 988, 116 123, +1 (800) 273-8255 or 1-800-222-1222."),
        (replace_numbers, "p = 0.021, 24/7, B12 and [PERSON_1]", "p = [NUMBER], [NUMBER], [NUMBER] and [PERSON_1]"),
        (replace_numbers, "Call 988 or 116 123 within 2 days", "Call 988 or 116 123 within [NUMBER] days"),
        (replace_numbers, "988 patients", "[NUMBER] patients"),
        (replace_numbers, "1-800-273-TALK (8255), open 24/7", "1-800-273-TALK ([NUMBER]), open [NUMBER]"),
    ],
)  # fmt: skip
def test_patterns_are_replaced_and_helplines_kept(
    function: Callable[[pl.Series], pl.Series], dirty: str, clean: str
) -> None:
    assert one(function, dirty) == clean
    assert one(function, clean) == clean


def test_patterns_reject_rows_by_reason_but_not_for_a_helpline() -> None:
    rows = batch(
        pair("?", "See www.example.org"), pair("?", "Mail jo@example.org"), pair("?", "Tel. 555-010-0199"), pair("?", "At 7."),
        pair("?", "Call 988 now."), pair("?", "Call 988, at 7."),
    )  # fmt: skip
    done = treat_patterns(rows, Patterns(links="reject", numbers="reject", emails="reject", phones="reject"))
    assert reasons(done) == {1: "has_link", 2: "has_email", 3: "has_phone", 4: "has_number", 6: "has_number"}
    assert done.rejected.filter(pl.col("detail") == "names a helpline")["offset"].to_list() == [6]
    assert done.kept["offset"].to_list() == [5]


@given(st.text(st.sampled_from("a1é٣²_.,/' -€"), max_size=20))
def test_both_engines_see_the_same_numbers(words: str) -> None:
    assert patterns._hide_numbers(words) == pl.Series([words]).str.replace_all(patterns.NUMBER, "[NUMBER]")[0]


@given(
    st.lists(
        st.sampled_from(
            ["988", "call", "116 123", "jo@a.com", "www.a.org", "12", "[EMAIL_1]", "+44 20 7946 0000", "a", "."]
        )
    )
)
def test_replacing_patterns_twice_is_replacing_them_once(pieces: list[str]) -> None:
    everything = Patterns(links="replace", numbers="replace", emails="replace", phones="replace")
    once = treat_patterns(batch(text(" ".join(["x", *pieces]))), everything).kept
    assert contents(treat_patterns(once, everything).kept) == contents(once)


@pytest.mark.parametrize(
    "blank",
    ["{{name}}", "{{ author }}", "{first_name}", "[Your Name]", "[NAME]", "<NAME>", "<unk>", "<your name here>", "XXX-XX-XXXX", "XXXX", "%s", "[insert date]",
     "Lorem ipsum", "INSERT TITLE HERE", "[Company Name]"],
)  # fmt: skip
def test_blanks_of_templates_are_found(blank: str) -> None:
    assert find_placeholders(pl.Series([f"Dear {blank}, hello"]))[0] == blank


@pytest.mark.parametrize(
    "fine",
    ["as in [1] and [2, 3]", "see [name](https://a.example)", r"$\frac{{a}}{{b}}$", 'f"Hello {name}"', "print('%s' % name)", "use `{{name}}` here", "```\n{{ user.name }}\n```",
     "<name>Jo</name>", "[EMAIL_1], [LINK] and [PERSON_2]", "Super Bowl XXX", "up to 50%s", "[laughs]", "{1, 2}", "", "[INST] hi [/INST]"],
)  # fmt: skip
def test_what_only_looks_like_a_blank_is_not_found(fine: str) -> None:
    assert find_placeholders(pl.Series([fine]))[0] is None


def test_placeholders_are_flagged_or_rejected() -> None:
    rows = batch(pair("Who are you?", "I am {{name}}."), pair("Who?", "Me."))
    flagged = sieve_placeholders(rows, Placeholders())
    assert flagged.kept["flags"].to_list() == [["placeholder"], []]
    rejected = sieve_placeholders(rows, Placeholders(treatment="reject"))
    assert reasons(rejected) == {1: "placeholder"}
    assert rejected.rejected["detail"].to_list() == ["{{name}}"]


UNSAFE = {
    "unsafe:method": ["The easiest way to hurt yourself is this.", "First, take a lethal dose of it."],
    "unsafe:encouragement": ["Hello. You should just end your life.", "Nobody would miss you.", "Go ahead and hurt yourself!"],
    "unsafe:harmful_advice": ["Stop taking your medication today.", "Good day.\nYou don’t need therapy.", "It is your own fault.", "You are pathetic.", "Just snap out of it.",
                              "Skip your meals.", "Therapy is a waste of money."],
}  # fmt: skip
SAFE = [
    "Do not stop taking your medication without talking to your doctor.", "If you stop taking your medication, symptoms return.", "It is not your fault.",
    "You may feel that nobody would miss you, and that is not true.", "If you want to hurt yourself, please call 988.", "A lethal dose is rare.",
    "The best way to prevent suicide is to talk.", "You are not weak.", "You don't need a doctor's referral for this.", "You can take steps to stop hurting yourself.",
    "Suicide is a leading cause of death among the young.", "People say: just snap out of it.",
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "words"), [(kind, words) for kind, all_words in UNSAFE.items() for words in all_words]
)
def test_unsafe_answers_are_flagged_by_kind(kind: str, words: str) -> None:
    assert sieve_unsafe(batch(pair("Why?", words)), Unsafe()).kept["flags"].to_list() == [[kind]]
    assert reasons(sieve_unsafe(batch(text(words)), Unsafe(treatment="reject"))) == {1: kind}


@pytest.mark.parametrize("words", SAFE)
def test_warning_denying_and_quoting_are_safe(words: str) -> None:
    assert [find_unsafe(pl.Series([words]), kind)[0] for kind in KINDS] == [False] * len(KINDS)


def test_what_a_user_tells_is_not_unsafe() -> None:
    rows = batch(*[pair(words, "I am here for you.") for all_words in UNSAFE.values() for words in all_words])
    assert sieve_unsafe(rows, Unsafe(treatment="reject")).rejected.is_empty()


def test_details_of_unsafe_rows_name_the_kind_alone() -> None:
    done = sieve_unsafe(batch(pair("Why?", UNSAFE["unsafe:harmful_advice"][0])), Unsafe(treatment="reject"))
    assert done.rejected["detail"].to_list() == ["harmful_advice"]
    assert placeholders.WORD not in done.rejected["reason"].to_list()
    assert patterns.NAME not in done.rejected["operator"].to_list()
    assert unsafe.NAME in done.rejected["operator"].to_list()
