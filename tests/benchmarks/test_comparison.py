"""A comparison stops when the systems do not agree, and its ratios are those of the measured times."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from benchmarks.cleaning import EMBEDDED, USUAL, Outcome, check, promises
from benchmarks.machine import ROOT, Measured
from benchmarks.pipeline_at_scale import exponent
from benchmarks.scientific_rows import Settings, write

from benchmarks import cleaning


def outcome(seconds: float = 1.0, mean: float = 2.0, rows: tuple[int, int] = (3, 99)) -> Outcome:
    figures = {"before": {"input": {"count": 3.0, "mean": mean}}}
    return Outcome(figures, rows, [Measured(seconds, seconds, 1 << 20, "")])


def test_equal_outcomes_pass_even_when_a_mean_is_rounded_elsewhere() -> None:
    check({USUAL: outcome(), EMBEDDED: outcome(mean=2.0000000001)})


@pytest.mark.parametrize("other", [outcome(mean=2.001), outcome(rows=(3, 98)), outcome(rows=(2, 99))])
def test_a_differing_outcome_stops_the_comparison(other: Outcome) -> None:
    with pytest.raises(SystemExit, match=EMBEDDED):
        check({USUAL: outcome(), EMBEDDED: other})


def test_a_promise_that_is_not_kept_is_said_so() -> None:
    assert "NOT KEPT" in promises({USUAL: outcome(10), EMBEDDED: outcome(2)})
    assert promises({USUAL: outcome(20), EMBEDDED: outcome(2)}).endswith("kept.")


@pytest.mark.parametrize("power", [1.0, 1.5])
def test_the_exponent_of_growth_is_recovered(power: float) -> None:
    rows = [10_000, 100_000, 1_000_000]
    assert exponent(rows, [float(3e-5 * count**power) for count in rows]) == pytest.approx(power)


def test_the_checksum_of_written_rows_does_not_depend_on_files_or_order(tmp_path: Path) -> None:
    rows = pl.DataFrame({"id": list("abc"), "input": list("def"), "output": list("ghi")})
    for name, parts in {"one": [rows], "two": [rows[2:], rows[:2].reverse()]}.items():
        (tmp_path / name).mkdir()
        for number, part in enumerate(parts):
            part.write_parquet(tmp_path / name / f"{number}.parquet")
    one, two = (cleaning._written(tmp_path / name) for name in ("one", "two"))
    assert one == two
    assert one[0] == 3


@pytest.mark.slow
def test_pakars_side_counts_and_cleans_what_it_is_given(tmp_path: Path) -> None:
    write(tmp_path / "rows", 300, Settings(), processes=1)
    command = [sys.executable, "-m", "benchmarks.pakar_cleaning", str(tmp_path / "rows"), str(tmp_path / "out")]
    told = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    before = pl.read_parquet(tmp_path / "rows" / "part-*.parquet")
    after = pl.read_parquet(tmp_path / "out" / "part-*.parquet")
    for when, frame in {"before": before, "after": after}.items():
        for column in ("input", "output"):
            words = np.array([len(text.split()) for text in frame[column]])
            found = told[when][column]
            assert found["total"] == words.sum()
            assert found["std"] == pytest.approx(words.std(ddof=1))
    assert after["input"].str.contains("^[a-z0-9 ]*$").all()
