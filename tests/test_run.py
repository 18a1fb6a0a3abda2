from __future__ import annotations

from pathlib import Path

import pytest

from pakar import files
from pakar.errors import UserError
from pakar.recipe import Prepare, Recipe, Source
from pakar.run import Run, find


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "q", Recipe(name="q", prepare=Prepare(sources=(Source(path="a.csv"),))))


def work_on(run: Run, inputs: dict[str, str], *, fail: bool = False) -> str:
    """Run a stage that writes one file; says what happened."""
    with run.stage("prepare", inputs) as work:
        if work is None:
            return "skipped"
        found = run.ledger_file.exists()
        files.write_json(run.ledger_file, inputs)
        if fail:
            raise KeyboardInterrupt
        work.outputs = {"ledger": files.sha256(run.ledger_file)}
        return f"resumed, ledger there: {found}" if work.resumed else f"fresh, ledger there: {found}"


def test_a_finished_stage_is_skipped_until_an_input_changes(run: Run) -> None:
    assert work_on(run, {"seed": "1"}) == "fresh, ledger there: False"
    assert work_on(run, {"seed": "1"}) == "skipped"
    assert work_on(run, {"seed": "2"}) == "fresh, ledger there: False"
    assert run.output("prepare", "ledger") == files.sha256(run.ledger_file)


def test_an_interrupted_stage_goes_on_only_from_the_same_inputs(run: Run) -> None:
    with pytest.raises(KeyboardInterrupt):
        work_on(run, {"seed": "1"}, fail=True)
    assert work_on(run, {"seed": "1"}) == "resumed, ledger there: True"
    with pytest.raises(KeyboardInterrupt):
        work_on(run, {"seed": "2"}, fail=True)
    assert work_on(run, {"seed": "3"}) == "fresh, ledger there: False"


@pytest.mark.parametrize("harm", ["remove", "truncate"])
def test_a_stage_whose_files_were_harmed_runs_again(run: Run, harm: str, capfd: pytest.CaptureFixture[str]) -> None:
    work_on(run, {"seed": "1"})
    if harm == "remove":
        run.ledger_file.unlink()
    else:
        run.ledger_file.write_text("{")
    assert work_on(run, {"seed": "1"}) == "fresh, ledger there: False"
    assert "because prepare/ledger.json changed" in capfd.readouterr().err


def test_an_unfinished_stage_is_told_with_the_command_to_type(run: Run) -> None:
    with pytest.raises(UserError, match="train has not finished yet") as caught:
        run.output("train", "model")
    assert "pakar train" in caught.value.next_step


RECIPE = "name: known\nprepare: {sources: [{path: a.csv}]}\n"


def run_directory(place: Path, recipe: str = RECIPE) -> Path:
    files.write_text(place / "recipe.yaml", recipe)
    files.write_json(place / "run.json", {})
    return place


def test_a_run_that_does_not_exist_is_told_with_those_that_do(tmp_path: Path) -> None:
    place = run_directory(tmp_path / "runs" / "known")
    assert find("known", tmp_path / "runs").recipe.name == "known"
    assert find(str(place), Path("elsewhere")).recipe.name == "known"
    for absent in ("unknown", "n" * 5000, "a\0b"):
        with pytest.raises(UserError, match="there is: known") as caught:
            find(absent, tmp_path / "runs")
        assert len(str(caught.value)) < 300 + len(str(tmp_path))


def test_a_folder_with_a_recipe_is_no_run_and_hides_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files.write_text(tmp_path / "recipe.yaml", RECIPE)
    with pytest.raises(UserError, match="there is no run"):
        find(".", Path("runs"))
    run_directory(tmp_path / "mine", RECIPE.replace("known", "other"))  # a folder of the project, called as the run is
    run_directory(tmp_path / "runs" / "mine")
    assert find("mine", Path("runs")).directory == Path("runs") / "mine"
