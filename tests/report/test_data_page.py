"""The page about the data, and what the terminal says, of a small real preparation of dirty data."""

from __future__ import annotations

import itertools
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from pakar import files, recipe_file
from pakar.models.prompt import renderer
from pakar.prepare import shown
from pakar.prepare.frames import REJECTED
from pakar.prepare.operators import Tools, build
from pakar.prepare.stage import prepare
from pakar.recipe import Prepare
from pakar.report import data
from pakar.report.data import terminal
from pakar.run import Run
from tests import tiny
from tests.evaluate.report.test_report import HOSTILE, Page

DIRTY = [
    *tiny.pairs(30),
    *tiny.pairs(3),
    ("<b>Is it late?</b>", "It isnâ€™t."),
    ("What is hostile?", f"<p>{HOSTILE}</p>"),
    ("Why?", ""),
    ("Who can I ask about sleep?", "<p>Write to ann@example.org or call +62 812-3456-789.</p>"),
    ("How long may an answer be?", "So long. " * 60),
    ("too long a question? " * 40, "Yes."),
]


def choose_again(run: Run) -> None:
    """After a test has changed what preparation wrote."""
    files.write_json(run.excerpts_file, shown.collect(run, (), renderer(tiny.tokenizer())))


def run_of(tmp_path: Path, base: Path, pairs: list[tuple[str, str]], operators: tuple[Any, ...] | None = None) -> Run:
    source = tiny.write_pairs(tmp_path / "rows.csv", pairs)
    other = tmp_path / "notes.jsonl"
    other.write_text(
        '{"text": "Schlafen ist nicht das Problem, und das ist gut."}\n{"text": "Sleep is good for you."}\n'
    )
    recipe = recipe_file.load(
        tiny.write_recipe(tmp_path / "r.yaml", source, base), ["prepare.executor={kind: local, workers: 1}"]
    )
    more = recipe.prepare.sources[0].model_validate({"path": str(other)})
    sections = recipe.prepare.model_copy(update={"sources": (*recipe.prepare.sources, more)})
    if operators is not None:
        sections = Prepare.model_validate({**sections.model_dump(), "operators": operators})
    run = Run(tmp_path / "run", recipe.model_copy(update={"prepare": sections}))
    prepare(run)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Run:
    return run_of(tmp_path_factory.mktemp("dirty"), tiny_base, DIRTY)


@pytest.fixture(scope="module")
def page(run: Run) -> Page:
    written = data.write(run)
    assert written == run.data_html
    return Page(run.data_html.read_text(encoding="utf-8"))


def statistics(run: Run) -> dict[str, Any]:
    return dict(files.read_json(run.statistics_file))


def test_there_is_no_page_before_preparation_has_finished(tmp_path: Path, run: Run) -> None:
    assert data.write(Run(tmp_path / "nothing", run.recipe)) is None


def test_the_page_is_well_formed_and_loads_nothing(page: Page, run: Run) -> None:
    levels = page.levels()
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))
    policy = [a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "base", "form"}
    assert all((a.get("href") or "#").startswith("#") for _, a in page.tags)
    anchors = {a["id"] for _, a in page.tags if "id" in a}
    assert {str(a["href"])[1:] for tag, a in page.tags if tag == "a"} <= anchors
    assert all(
        "desc" in [t for t, _ in page.tags[n + 1 : n + 3]]
        for n, (tag, a) in enumerate(page.tags)
        if a.get("role") == "img"
    )


def test_every_reason_stands_there_with_its_rows_and_an_example(page: Page, run: Run) -> None:
    ledger = files.read_json(run.ledger_file)
    assert ledger["rejected"] == {"duplicate": 3, "empty_answer": 1, "prompt_too_long": 1}
    assert f"{ledger['rows_in']} rows came in. {ledger['kept']} were kept and 5 rejected" in page.text
    assert "duplicate: 3 rows" in page.text
    assert "rows.csv, row 31: all messages equal those of an earlier row" in page.text
    assert "empty_answer: 1 row" in page.text
    assert "\N{MINUS SIGN} 3 duplicate (duplicates)" in page.text


def test_texts_before_and_after_are_marked_and_people_masked(page: Page, run: Run) -> None:
    assert {"del", "ins"} <= {tag for tag, _ in page.tags}
    html = run.data_html.read_text(encoding="utf-8")
    assert "<del>&lt;b&gt;</del>Is it late?<del>&lt;/b&gt;</del>" in html
    assert "Write to <del>███████████████</del><ins>[EMAIL_1]</ins>" in html
    assert "ann@example.org" not in html
    assert "812-3456" not in html


def test_hostile_words_do_nothing(page: Page) -> None:
    assert not [tag for tag, _ in page.tags if tag in {"script", "img"}]
    assert "{{ 7 * 7 }}" in page.text


def test_the_table_shows_lengths_before_and_after(page: Page, run: Run) -> None:
    found = statistics(run)
    before, after = found["before"]["columns"]["answer"]["words"], found["columns"]["answer"]["words"]
    assert before["count"] == len(DIRTY)
    assert before["total"] == sum(len(answer.split()) for _, answer in DIRTY)
    assert after["count"] == len(DIRTY) - 5
    assert set(before) == set(after)
    for number in (before["total"], after["total"]):
        assert f"{number:,}" in page.text


def test_statistics_tell_of_sources_duplicates_languages_and_long_rows(run: Run) -> None:
    found = statistics(run)
    assert found["sources"] == [{"rows_in": 39, "kept": 34, "rejected": 5}, {"rows_in": 2, "kept": 2, "rejected": 0}]
    assert found["duplicates"] == {"equal": 3, "near": 0}
    assert found["names"] == {"question": ["question"], "answer": ["answer"], "text": ["text"]}
    assert found["longest"]["context_tokens"] == 96
    assert (found["longest"]["rows"] >= 1, found["longest"]["rejected"]) == (True, 1)
    assert found["longest"]["longest"] - 96 == found["longest"]["most_over"]
    assert found["languages"]["rows"] == 36
    assert sum(found["languages"]["shares"].values()) == pytest.approx(1)
    assert set(found["columns"]["text"]) == {"words", "characters", "tokens"}


def test_same_run_same_bytes(run: Run) -> None:
    data.write(run)
    first = run.data_html.read_bytes()
    data.write(run)
    assert run.data_html.read_bytes() == first


def test_the_terminal_shows_the_ledger_the_table_and_where_to_look(run: Run) -> None:
    out = StringIO()
    Console(file=out, width=110, color_system=None).print(terminal.summary(run))
    lines = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    assert "rows in 41 100 %" in lines
    assert "rejected duplicate 3 7 % all its messages equal those of an earlier row" in lines
    assert "kept 36 88 %" in lines
    assert any(line.startswith("standard deviation ") for line in lines)
    assert any(str(run.data_html) in line for line in lines)


def test_nothing_rejected_nothing_changed(tmp_path: Path, tiny_base: Path) -> None:
    run = run_of(tmp_path, tiny_base, tiny.pairs(12))
    data.write(run)
    found = Page(run.data_html.read_text(encoding="utf-8")).text
    assert "No operator changed anything." in found
    assert "No row was rejected." in found
    assert "No row is longer than the context of 96 tokens." in found


def test_a_nearly_equal_row_stands_beside_the_one_that_was_kept(tmp_path: Path, tiny_base: Path) -> None:
    run = run_of(tmp_path, tiny_base, tiny.pairs(12))
    kept = pl.read_parquet(run.examples_dir("train") / "part-00000.parquet").row(0, named=True)
    words = "\n".join(message["content"] for message in kept["messages"])
    detail = f"95% of its runs of words are those of row {kept['id']}"
    row = {"source": "rows.csv", "offset": 77, "part": 0, "reason": "near_duplicate", "operator": "near-duplicates"}
    rejected = pl.DataFrame([row | {"detail": detail, "text": words.replace("sleep", "rest")}], schema=REJECTED)
    rejected.write_parquet(run.rejected_dir / "part-00009-deal.parquet")
    choose_again(run)
    data.write(run)
    html = run.data_html.read_text(encoding="utf-8")
    assert (
        f"left out: rows.csv, row 77; kept: {kept['source']}, row {kept['offset']}. 95% of its runs of words are those of the row that was kept"
        in html
    )
    assert "<del>rest</del><ins>sleep</ins>" in html


def test_flagged_rows_are_shown_but_not_the_words_of_unsafe_ones(tmp_path: Path, tiny_base: Path) -> None:
    run = run_of(tmp_path, tiny_base, tiny.pairs(12))
    path = run.examples_dir("train") / "part-00000.parquet"
    rows = pl.read_parquet(path).with_columns(
        pl.Series(
            "flags", [["placeholder"], ["unsafe"], *[[]] * 20][: pl.read_parquet(path).height], pl.List(pl.String)
        )
    )
    rows.write_parquet(path)
    ledger = files.read_json(run.ledger_file) | {"flagged": {"placeholder": 1, "unsafe": 1}}
    files.write_json(run.ledger_file, ledger)
    choose_again(run)
    data.write(run)
    page = Page(run.data_html.read_text(encoding="utf-8")).text
    first, second = (row["messages"][0]["content"] for row in rows.head(2).iter_rows(named=True))
    flagged = page[page.index("These rows were kept and marked") :]
    assert first in flagged
    assert second not in flagged
    assert second not in run.excerpts_file.read_text(encoding="utf-8")
    assert "(not shown here)" in flagged


PERSON = "My name is Anna Smith, call me at +1 212-555-0123 or anna.smith@mail.com. "
SHORT = {"kind": "length", "of": "answer", "min": 3}
HIDING: tuple[tuple[Any, ...], ...] = (
    (SHORT, "personal-data", "person-names"),
    (SHORT, {"kind": "personal-data", "treatment": "reject"}, {"kind": "person-names", "treatment": "reject"}),
)


@pytest.mark.parametrize("operators", HIDING)
def test_people_in_rows_that_were_rejected_before_they_were_hidden_are_not_shown(
    tmp_path: Path, tiny_base: Path, operators: tuple[Any, ...]
) -> None:
    pairs = [*tiny.pairs(12), (PERSON + "Why?", ""), ("Who am I? " + PERSON, "You are Anna Smith, so it seems.")]
    run = run_of(tmp_path, tiny_base, pairs, operators)
    raw = pl.concat([pl.read_parquet(path) for path in run.rejected_dir.glob("*.parquet")])
    assert "Anna Smith" in str(raw["text"].to_list())
    data.write(run)
    report = "".join(path.read_text(encoding="utf-8") for path in (run.data_html, run.excerpts_file))
    for secret in ("Anna", "Smith", "555-0123", "mail.com"):
        assert secret not in report
    assert "My name is [PERSON_1], call me at [PHONE_1] or [EMAIL_1]" in report


def test_addresses_are_hidden_where_the_recipe_does_not_ask_for_it(tmp_path: Path, tiny_base: Path) -> None:
    run = run_of(tmp_path, tiny_base, [*tiny.pairs(12), (PERSON, ""), (f"<b>{PERSON}</b>", PERSON)], ("html",))
    data.write(run)
    for path in (run.data_html, run.excerpts_file):
        found = path.read_text(encoding="utf-8")
        assert "555-0123" not in found
        assert "mail.com" not in found
        assert "Anna Smith" in found
    assert "Names are not hidden" in run.data_html.read_text(encoding="utf-8")


def test_an_excerpt_has_one_placeholder_for_a_value_on_both_sides() -> None:
    steps = build(shown.hiding(()), Tools(renderer(tiny.tokenizer())))
    assert shown.hidden([["ask a.b@mail.com", "c@mail.com, a.b@mail.com"], ["", "nobody"]], steps) == [
        ["ask [EMAIL_1]", "[EMAIL_2], [EMAIL_1]"],
        ["", "nobody"],
    ]
