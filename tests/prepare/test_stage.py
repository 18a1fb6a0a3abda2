from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pakar import examples, files, recipe_file
from pakar.conversation import SPLITS
from pakar.errors import DataError, UserError
from pakar.prepare.stage import prepare
from pakar.run import Run
from pakar.shards import TokenShards
from tests import tiny


def prepared(tmp_path: Path, base: Path, pairs: list[tuple[str, str]], *overrides: str, name: str = "run") -> Run:
    data = tiny.write_pairs(tmp_path / f"{name}.csv", pairs)
    recipe = recipe_file.load(tiny.write_recipe(tmp_path / f"{name}.yaml", data, base), overrides)
    run = Run(tmp_path / name, recipe)
    prepare(run)
    return run


def ledger(run: Run) -> dict[str, Any]:
    return dict(files.read_json(run.ledger_file))


def rows_of(run: Run) -> dict[str, set[str]]:
    return {name: set(examples.frame(run.examples_dir(name))["id"]) for name in SPLITS}


def test_every_row_is_kept_or_rejected_with_its_reason_and_place(tmp_path: Path, tiny_base: Path) -> None:
    pairs = [*tiny.pairs(20), ("Why?", ""), ("", "Because."), tiny.pairs(1)[0], ("Why?", "<p><br></p>")]
    run = prepared(tmp_path, tiny_base, pairs)
    assert ledger(run)["rows_in"] == 24
    assert ledger(run)["kept"] == 20
    assert ledger(run)["rejected"] == {"duplicate": 1, "empty_answer": 2, "empty_question": 1}
    rejected = pl.read_parquet(run.rejected_dir / "*.parquet").sort("offset")
    assert rejected.select("source", "offset", "reason", "operator").rows() == [
        ("run.csv", 21, "empty_answer", "empty"),
        ("run.csv", 22, "empty_question", "empty"),
        ("run.csv", 23, "duplicate", "duplicates"),
        ("run.csv", 24, "empty_answer", "empty"),
    ]


def test_the_same_question_never_stands_on_both_sides(tmp_path: Path, tiny_base: Path) -> None:
    pairs = [(f"How can I sleep in week {n % 9}{'?' * (n % 2)}", f"Answer {n}.") for n in range(60)]
    run = prepared(tmp_path, tiny_base, pairs)
    assert ledger(run)["kept"] == 60
    groups = {name: set(examples.frame(run.examples_dir(name))["group"]) for name in SPLITS}
    assert sum(map(len, groups.values())) == len(set.union(*groups.values())) == 9


def test_augmented_rows_are_marked_train_only_and_not_counted_as_kept(tmp_path: Path, tiny_base: Path) -> None:
    run = prepared(tmp_path, tiny_base, tiny.pairs(20), "prepare.augment={kind: rephrase, copies: 2}")
    train = examples.frame(run.examples_dir("train"))
    assert ledger(run)["augmented"] == train["augmented"].sum() == 24
    assert ledger(run)["kept"] == 20
    assert not examples.frame(run.examples_dir("test"))["augmented"].any()
    assert len(TokenShards(run.tokens_dir("train"))) == len(train)


def test_the_order_of_the_file_decides_nothing(tmp_path: Path, tiny_base: Path) -> None:
    pairs = [*tiny.pairs(40), *tiny.pairs(5)]
    augment = "prepare.augment={kind: rephrase, copies: 2}"
    one = prepared(tmp_path, tiny_base, pairs, augment, name="one")
    other = prepared(tmp_path, tiny_base, pairs[::-1], augment, name="other")
    assert rows_of(one) == rows_of(other)
    assert one.record("prepare")["outputs"] == other.record("prepare")["outputs"]


def test_intents_that_share_a_question_stay_together(tmp_path: Path, tiny_base: Path) -> None:
    intents = [
        {
            "tag": f"tag {n}",
            "patterns": [f"Question number {n}?", f"Question number {n + n % 2}?"],
            "responses": [f"So {n}."],
        }
        for n in range(30)
    ]
    (tmp_path / "bot.json").write_text(json.dumps({"intents": intents}))
    path = tmp_path / "r.yaml"
    path.write_text(
        f"name: bot\nmodel: {{base: {tiny_base}}}\nprepare: {{sources: [{{path: bot.json}}], augment: {{kind: rephrase}}}}\n"
    )
    run = Run(tmp_path / "run", recipe_file.load(path))
    prepare(run)
    questions = {
        name: {m[0]["content"] for m in examples.frame(run.examples_dir(name))["messages"].to_list()} for name in SPLITS
    }
    assert sum(map(len, questions.values())) == len(set.union(*questions.values()))
    assert ledger(run)["groups_crossing"] == 0


def test_chats_that_open_with_the_same_greeting_are_different_questions(tmp_path: Path, tiny_base: Path) -> None:
    turns = [("user", "Hi"), ("assistant", "Hello."), ("user", "How can I sleep in week {}?"), ("assistant", "So.")]
    rows = [{"messages": [{"role": r, "content": c.format(n)} for r, c in turns]} for n in range(20)]
    data = tmp_path / "chats.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "r.yaml"
    path.write_text(f"name: chats\nmodel: {{base: {tiny_base}}}\nprepare: {{sources: [{{path: chats.jsonl}}]}}\n")
    run = Run(tmp_path / "run", recipe_file.load(path))
    prepare(run)
    assert ledger(run)["splits"] == {"train": 16, "validation": 2, "test": 2}


def test_changes_are_counted_only_in_rows_that_went_on(tmp_path: Path, tiny_base: Path) -> None:
    run = prepared(tmp_path, tiny_base, [*tiny.pairs(9), ("Why is that?", "<p></p>"), ("And this one?", "<p>So.</p>")])
    assert ledger(run)["changed"]["html"] == 1


def test_two_runs_of_the_same_recipe_are_identical(tmp_path: Path, tiny_base: Path) -> None:
    one = prepared(tmp_path, tiny_base, tiny.pairs(30), name="one")
    (tmp_path / "again").mkdir()
    other = prepared(tmp_path / "again", tiny_base, tiny.pairs(30), name="one")
    assert one.record("prepare")["outputs"] == other.record("prepare")["outputs"]


def test_an_unchanged_stage_is_skipped_and_a_changed_one_says_why(
    tmp_path: Path, tiny_base: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    prepared(tmp_path, tiny_base, tiny.pairs(20))
    capfd.readouterr()
    prepared(tmp_path, tiny_base, tiny.pairs(20))
    assert "prepare: unchanged, skipped" in capfd.readouterr().err
    prepared(tmp_path, tiny_base, tiny.pairs(21))
    assert "runs again, because source files changed" in capfd.readouterr().err


def test_statistics_count_words_and_tokens_per_column(tmp_path: Path, tiny_base: Path) -> None:
    run = prepared(tmp_path, tiny_base, [("one two", "a b c"), ("three", "d"), ("four", "e f"), ("five", "g")])
    columns = files.read_json(run.statistics_file)["columns"]
    words = columns["answer"]["words"]
    assert (words["count"], words["mean"], words["min"], words["max"], words["total"]) == (4, 1.75, 1, 3, 7)
    assert words["stddev"] == pytest.approx(0.9574271)
    assert sum(words["histogram"]["counts"]) == 4
    assert columns["question"]["words"]["total"] == 5
    assert columns["answer"]["tokens"]["total"] > 7


@pytest.mark.parametrize(
    ("pairs", "override", "message"),
    [
        ([("Why?", "")] * 5, "seed=1", "all 5 rows were rejected: empty_answer 5"),
        (tiny.pairs(9), "prepare.split.test=500", "only 9 rows are left after cleaning"),
        ([], "seed=1", "no rows|holds no"),
    ],
)
def test_data_that_cannot_be_used_is_explained(
    tmp_path: Path, tiny_base: Path, pairs: list[tuple[str, str]], override: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        prepared(tmp_path, tiny_base, pairs, override)


def test_too_many_unreadable_rows_stop_the_run(tmp_path: Path, tiny_base: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text('{"question": "Why?", "answer": "So."}\n' * 5 + "{broken\n" * 5)
    recipe = recipe_file.load(
        tiny.write_recipe(tmp_path / "r.yaml", data, tiny_base), ["prepare.sources.0.format=jsonl"]
    )
    with pytest.raises(UserError, match="5 of 10 rows could not be read"):
        prepare(Run(tmp_path / "run", recipe))


def test_plain_text_becomes_windows_and_stays_one_row(tmp_path: Path, tiny_base: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    for n in range(6):
        (folder / f"{n}.md").write_text(f"Note {n}. " + "Sleep is good. " * 60)
    path = tmp_path / "r.yaml"
    path.write_text(
        f"name: notes\nmodel: {{base: {tiny_base}, context_tokens: 64}}\nprepare: {{sources: [{{path: notes}}]}}\n"
    )
    run = Run(tmp_path / "run", recipe_file.load(path))
    prepare(run)
    lengths = TokenShards(run.tokens_dir("train")).lengths()
    assert ledger(run)["kept"] == 6
    assert len(lengths) > 8
    assert lengths.max() == 64


def test_a_changed_benchmark_makes_the_stage_run_again_and_a_moved_one_does_not(
    tmp_path: Path, tiny_base: Path
) -> None:
    asked = "What should somebody do who cannot sleep in the third week of a long month of May?"
    (tmp_path / "bench.csv").write_text(f'question,answer\n"{asked}",Nothing.\n')
    operators = "prepare.operators=[{{kind: decontaminate, against: [{{path: {0}}}]}}]"
    rows = [*tiny.pairs(20), (asked, "Read a little.")]
    run = prepared(tmp_path, tiny_base, rows, operators.format("bench.csv"))
    assert ledger(run)["rejected"] == {"contaminated": 1}
    finished = run.record("prepare")["finished"]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "bench.csv").rename(tmp_path / "elsewhere" / "bench.csv")
    run = prepared(tmp_path, tiny_base, rows, operators.format("elsewhere/bench.csv"))
    assert run.record("prepare")["finished"] == finished
    (tmp_path / "elsewhere" / "bench.csv").write_text("question,answer\nWhy?,Because.\n")
    run = prepared(tmp_path, tiny_base, rows, operators.format("elsewhere/bench.csv"))
    assert ledger(run)["rejected"] == {}


@pytest.mark.parametrize(
    "place",
    ["pakar.prepare.stage.shown.collect", "pakar.prepare.stage.files.sweep", "pakar.prepare.stage.text.fingerprint"],
)
def test_broken_off_near_the_end_it_goes_on_to_the_same_outcome(
    place: str, tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    augment = "prepare.augment={kind: rephrase, copies: 1}"
    whole = prepared(tmp_path, tiny_base, tiny.pairs(30), augment, name="run").record("prepare")["outputs"]
    (tmp_path / "again").mkdir()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(place, killed)
        with pytest.raises(KeyboardInterrupt):
            prepared(tmp_path / "again", tiny_base, tiny.pairs(30), augment, name="run")
    run = prepared(tmp_path / "again", tiny_base, tiny.pairs(30), augment, name="run")
    assert run.record("prepare")["outputs"] == whole
    assert not list(run.directory.rglob("*.tmp"))


def test_a_spool_that_was_being_removed_is_no_spool(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = shutil.rmtree

    def killed(path: str | Path, *rest: Any, **more: Any) -> None:
        if Path(path).is_relative_to(tmp_path):
            raise KeyboardInterrupt
        remove(path, *rest, **more)  # temporary directories of others

    with monkeypatch.context() as patched:
        patched.setattr("pakar.files.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            prepared(tmp_path, tiny_base, tiny.pairs(30))
    assert ledger(prepared(tmp_path, tiny_base, tiny.pairs(30)))["kept"] == 30
