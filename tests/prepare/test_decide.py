from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from pakar import examples, files, recipe_file
from pakar.conversation import SPLITS
from pakar.prepare.stage import prepare
from pakar.run import Run
from tests import tiny

WORDS = (
    "when sleep will not come it helps to get up, drink a little water, read a few quiet pages and go back to bed "
    "only when the eyes grow heavy, because a bed that is used for rest alone soon means rest to the body"
)


def run_on(tmp_path: Path, base: Path, pairs: list[tuple[str, str]], *overrides: str) -> Run:
    data = tiny.write_pairs(tmp_path / "d.csv", pairs)
    run = Run(tmp_path / "run", recipe_file.load(tiny.write_recipe(tmp_path / "r.yaml", data, base), overrides))
    files.remove(run.directory)
    prepare(run)
    return run


def ledger(run: Run) -> dict[str, Any]:
    return dict(files.read_json(run.ledger_file))


def kept(run: Run) -> pl.DataFrame:
    return pl.concat([examples.frame(run.examples_dir(name)).with_columns(split=pl.lit(name)) for name in SPLITS])


def family(number: int) -> list[tuple[str, str]]:
    """Three rows that say the same; the last one is the longest."""
    words = WORDS.replace(
        "water", f"water from spring number {number} beside house {number * 7} in valley {number * 13}"
    )
    return [(f"What helps {name} sleep in week {number}?", words + more) for name, more in (("me", ""), ("you", " of mine"), ("us", " of ours and yours"))]  # fmt: skip


def test_of_near_duplicates_the_one_with_the_most_words_stays(tmp_path: Path, tiny_base: Path) -> None:
    run = run_on(tmp_path, tiny_base, [*tiny.pairs(20), *family(1)])
    assert ledger(run)["rejected"] == {"near_duplicate": 2}
    assert "What helps us sleep in week 1?" in {m[0]["content"] for m in kept(run)["messages"].to_list()}
    rejected = pl.read_parquet(run.rejected_dir / "*.parquet")
    assert rejected["detail"].str.contains(r"^\d+% of its runs of words are those of row [0-9a-f]{64}$").all()


def test_near_duplicates_that_are_kept_stay_on_one_side(tmp_path: Path, tiny_base: Path) -> None:
    pairs = [pair for number in range(12) for pair in family(number)]
    run = run_on(tmp_path, tiny_base, pairs, "prepare.near_duplicates={treatment: keep}", "prepare.split.test=0.3")
    assert ledger(run)["kept"] == 36
    assert ledger(run)["groups_crossing"] == 0
    week = pl.col("messages").list.first().struct.field("content").str.extract(r"week (\d+)")
    assert kept(run).group_by(week.alias("week")).agg(pl.col("split").n_unique())["split"].to_list() == [1] * 12


def test_equal_rows_that_are_kept_have_ids_of_their_own(tmp_path: Path, tiny_base: Path) -> None:
    run = run_on(tmp_path, tiny_base, tiny.pairs(20) * 3, "prepare.duplicates=keep")
    rows = kept(run)
    assert len(rows) == rows["id"].n_unique() == 60
    assert ledger(run)["groups_crossing"] == 0


def test_a_sample_is_exact_and_every_other_row_is_accounted_for(tmp_path: Path, tiny_base: Path) -> None:
    run = run_on(tmp_path, tiny_base, [*tiny.pairs(40), ("Why?", "")], "prepare.sample={rows: 25}")
    assert ledger(run)["kept"] == 25
    assert ledger(run)["rejected"] == {"empty_answer": 1, "not_sampled": 15}


def test_the_flow_leads_from_all_rows_to_those_kept(tmp_path: Path, tiny_base: Path) -> None:
    run = run_on(tmp_path, tiny_base, [*tiny.pairs(20), *family(1), ("Why?", ""), tiny.pairs(1)[0]])
    flow = ledger(run)["flow"]
    assert flow[-1]["left"] == ledger(run)["kept"] == 21
    assert {step["operator"]: step["rejected"] for step in flow if step["rejected"]} == {
        "empty": 1,
        "duplicates": 1,
        "near-duplicates": 2,
    }


def test_rows_of_many_files_are_written_in_the_order_of_their_places(
    tmp_path: Path, tiny_base: Path, monkeypatch: Any
) -> None:
    pairs = tiny.pairs(40)
    whole = kept(run_on(tmp_path, tiny_base, pairs))
    monkeypatch.setattr("pakar.prepare.decide.MOST_ROWS_PER_FILE", 7)
    monkeypatch.setattr("pakar.prepare.clean.SHARD_ROWS", 9)
    run = run_on(tmp_path, tiny_base, pairs)
    assert len(list(run.examples_dir("train").glob("*.parquet"))) > 3
    assert kept(run)["id"].to_list() == whole["id"].to_list()
