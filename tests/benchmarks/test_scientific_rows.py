"""The generated rows are what their description says, and a row never depends on how the work was divided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from benchmarks.scientific_rows import INPUT_WORDS, OPENINGS, OUTPUT_WORDS, Settings, origins, rows, write
from benchmarks.scientific_vocabulary import vocabulary
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import scientific_rows


def frame(table: pa.Table) -> pl.DataFrame:
    made = pl.from_arrow(table)
    assert isinstance(made, pl.DataFrame)
    return made


@pytest.fixture(scope="module")
def sample() -> pl.DataFrame:
    return frame(rows(0, 6000, Settings()))


def words(texts: pl.Series) -> pl.Series:
    return texts.str.count_matches(r"\S+")


@settings(deadline=None, max_examples=25)
@given(first=st.integers(0, 5_000_000), count=st.integers(1, 40), cut=st.integers(0, 40))
def test_a_row_is_the_same_wherever_the_work_is_cut(first: int, count: int, cut: int) -> None:
    middle = first + min(cut, count)
    parts = [
        rows(*span, Settings(words=0.1)) for span in ((first, middle), (middle, first + count)) if span[0] < span[1]
    ]
    assert pa.concat_tables(parts).equals(rows(first, first + count, Settings(words=0.1)))


def test_another_seed_gives_other_rows() -> None:
    one, two = (frame(rows(0, 50, Settings(seed=seed))) for seed in (1, 2))
    assert not set(one["input"]) & set(two["input"])


@pytest.mark.parametrize(("column", "target"), [("input", INPUT_WORDS), ("output", OUTPUT_WORDS)])
def test_lengths_are_near_the_published_ones(
    sample: pl.DataFrame, column: str, target: tuple[float, float, int, int]
) -> None:
    mean, deviation, least, most = target
    counts = words(sample[column]).cast(pl.Float64).to_numpy()
    assert counts.mean() == pytest.approx(mean, abs=4 * deviation / np.sqrt(len(counts)))
    assert counts.std() == pytest.approx(deviation, rel=0.1)
    assert least <= counts.min() <= counts.max() <= most


def test_short_rows_keep_the_shape_of_the_distribution() -> None:
    short = frame(rows(0, 4000, Settings(words=0.2)))
    assert words(short["input"]).mean() == pytest.approx(0.2 * INPUT_WORDS[0], rel=0.05)
    assert words(short["output"]).mean() == pytest.approx(0.2 * OUTPUT_WORDS[0], rel=0.08)


def test_the_stated_share_of_the_rows_repeats_an_earlier_one() -> None:
    chosen = Settings(words=0.2, duplicates=0.05, near_duplicates=0.0)
    made = frame(rows(0, 20_000, chosen))
    repeated = len(made) - made.select("input", "output").n_unique()
    assert repeated / len(made) == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / len(made)))
    assert made["id"].is_unique().all()


def test_without_repetition_every_row_is_its_own() -> None:
    made = frame(rows(0, 5000, Settings(duplicates=0.0, near_duplicates=0.0)))
    assert made["input"].is_unique().all()


def test_near_duplicates_share_most_of_their_words_but_not_all() -> None:
    chosen = Settings(duplicates=0.0, near_duplicates=0.05)
    origin = origins(0, 2000, chosen)
    edited = np.flatnonzero(origin.editor >= 0)
    assert len(edited) / 2000 == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 2000))
    texts = frame(rows(0, 2000, chosen))["input"]
    for row in edited[:40]:
        mine, theirs = texts[int(row)], texts[int(origin.key[row])]
        assert mine != theirs
        assert shared(mine, theirs) > 0.6


def test_rows_that_repeat_nothing_share_next_to_no_five_word_runs(sample: pl.DataFrame) -> None:
    origin = origins(0, 6000, Settings())
    alone = [text for row, text in enumerate(sample["input"][:300]) if origin.key[row] == row]
    assert max(shared(alone[0], other) for other in alone[1:]) < 0.1


def shared(one: str, two: str) -> float:
    """Jaccard similarity of the sets of five-word runs."""
    first, second = (set(zip(*(text.split()[at:] for at in range(5)), strict=False)) for text in (one, two))
    return len(first & second) / len(first | second)


def test_rows_hold_the_dirt_that_cleaning_is_for(sample: pl.DataFrame) -> None:
    texts = sample["input"]
    assert texts.str.contains("@xmath0", literal=True).mean() == pytest.approx(0.3, abs=0.15)
    for dirt in ("@xcite", " xcite", ". \n ", " - ", "@physics.example.org", "&amp;", "0.021", "Ã¶", "ö", " ] "):
        assert 0 < texts.str.contains(dirt, literal=True).sum() < len(texts), dirt
    assert texts.str.contains("^(?:" + "|".join(OPENINGS) + ") ").all()


def test_every_word_is_one_white_space_token() -> None:
    assert all(len(word.split()) == 1 for word in vocabulary().words)


def test_writing_is_the_same_with_any_number_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Settings(words=0.05)
    write(tmp_path / "one", 30_000, chosen, processes=1)
    write(tmp_path / "two", 30_000, chosen, processes=2)
    one, two = (pl.read_parquet(tmp_path / name / "part-*.parquet") for name in ("one", "two"))
    assert one.equals(two)
    assert len(one) == 30_000
    monkeypatch.setattr(scientific_rows, "ProcessPoolExecutor", None)  # what is there already is not written again
    write(tmp_path / "one", 30_000, chosen)
