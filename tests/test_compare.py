from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pakar import compare, files
from pakar.recipe import Prepare, Recipe, Source
from pakar.run import Run


def made(place: Path, *, epochs: int = 3, loss: float | None = None, split: str = "a") -> Run:
    """A run of which only the records and the figures are there."""
    recipe = Recipe(name=place.name, prepare=Prepare(sources=(Source(path="a.csv"),)))
    train = recipe.train.model_copy(update={"epochs": epochs})
    run = Run(place, recipe.model_copy(update={"train": train}))
    files.write_json(place / "run.json", {"versions": {"torch": f"2.{epochs}"}, "hardware": {"cores": 2}})
    data = {"data": f"{epochs:064x}"[::-1], "test split": split * 64}
    if loss is not None:
        record: dict[str, Any] = {"inputs": data, "outputs": {"metrics": "f" * 64}, "files": {}}
        files.write_json(place / "evaluate" / "stage.json", record)
        cell = {"value": loss, "low": loss - 0.1, "high": loss + 0.1, "unit": "nats per token", "n": 20}
        shares = {"value": 0.5, "low": 0.25, "high": 0.75, "unit": "share", "n": 20}
        files.write_json(run.metrics_file, {"systems": {"tuned": {"loss": cell, "empty": shares, "chrf": {"skipped": "no answers"}}}})  # fmt: skip
    return run


def test_differences_are_grouped_short_and_followed_by_both_results(tmp_path: Path) -> None:
    told = compare.described(made(tmp_path / "one", loss=3.25), made(tmp_path / "two", epochs=5, loss=3.5))
    assert not re.search(r"[0-9a-f]{40}", told)
    lines = told.splitlines()
    assert lines[: lines.index("")] == [
        "Recipe", "  train.epochs: 3 → 5", "Machine", "  torch: 2.3 → 2.5", "Data and what else went in",
        "  evaluate: data: 30000000 → 50000000",
    ]  # fmt: skip
    assert any("3.25 (3.15 to 3.35) → 3.50 (3.40 to 3.60)" in line for line in lines)
    assert any("50 % (25 to 75 %) → 50 %" in line for line in lines)
    assert any("not measured (no answers)" in line for line in lines)
    assert "test splits differ" not in told


def test_results_on_other_questions_and_missing_ones_are_told(tmp_path: Path) -> None:
    one, other = made(tmp_path / "one", loss=3.25), made(tmp_path / "two", loss=3.5, split="b")
    assert "not about the same questions" in compare.described(one, other)
    bare = made(tmp_path / "three")
    assert "→ not measured" in compare.described(one, bare)
    assert "Neither run has been evaluated" in compare.described(bare, bare)


def test_programs_get_whole_fingerprints_and_figures(tmp_path: Path) -> None:
    found = compare.as_json(made(tmp_path / "one", loss=3.25), made(tmp_path / "two", epochs=5, loss=3.5))
    data = next(each for each in found["differences"] if each["name"] == "evaluate.inputs.data")
    assert len(data["first"]) == 64
    assert found["results"][0] == {
        "name": "loss",
        "first": {"value": 3.25, "low": 3.15, "high": 3.35, "unit": "nats per token", "n": 20},
        "second": {"value": 3.5, "low": 3.4, "high": 3.6, "unit": "nats per token", "n": 20},
    }
