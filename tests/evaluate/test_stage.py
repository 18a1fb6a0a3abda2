from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pakar import examples, files
from pakar.conversation import Conversation
from pakar.engine import Completion
from pakar.engine.local import LocalEngine
from pakar.errors import UserError
from pakar.evaluate import answers, kept, scores, systems
from pakar.evaluate.likelihood import Likelihood
from pakar.evaluate.stage import evaluate
from pakar.evaluate.systems import System, SystemName
from pakar.models.base import BaseModel
from pakar.recipe import Sampling
from pakar.run import Run

from .conftest import small_split as split
from .conftest import train, write_split


def without_times(run: Run, system: str) -> list[dict[str, Any]]:
    return [{**row, "seconds": 0} for row in files.read_json_lines(run.answers_file(system))]


def kept_file(run: Run, beginning: str) -> Path:
    (found,) = (run.directory / kept.DIRECTORY).glob(f"{beginning}-*.jsonl")
    return found


def with_section(run: Run, **changes: Any) -> Run:
    section = run.recipe.evaluate.model_copy(update=changes)
    return replace(run, recipe=run.recipe.model_copy(update={"evaluate": section}))


def test_leaves_answers_scores_and_metrics(evaluated_run: Run) -> None:
    metrics = files.read_json(evaluated_run.metrics_file)
    for system in ("base", "tuned"):
        stored = answers.read(evaluated_run.answers_file(system))
        assert len(stored) == len({answer.id for answer in stored}) == 7
        assert "plain" not in {answer.id for answer in stored}
        rows = scores.read(evaluated_run.scores_file(system))
        assert [row.id for row in rows] == [example.id for example in split()]
        assert sum("chrf" in row.columns for row in rows) == 7
        nats, tokens = (sum(row.columns[name] or 0 for row in rows) for name in ("nll", "tokens"))
        assert metrics["systems"][system]["perplexity"]["value"] == pytest.approx(math.exp(nats / tokens))
        assert metrics["systems"][system]["loss"]["n"] == 11
        assert metrics["systems"][system]["chrf"]["n"] == 7
    assert [c["metric"] for c in metrics["comparisons"]] == list(metrics["systems"]["base"])
    settings = metrics["settings"]
    shown = ("test_examples", "groups", "truncated", "unscored", "context_tokens")
    assert [settings[name] for name in shown] == [11, 8, 1, 0, 96]
    record = evaluated_run.record("evaluate")
    assert record["outputs"]["metrics"] == files.sha256(evaluated_run.metrics_file)
    assert record["counts"]["answers_per_system"] == 7


def test_a_finished_stage_is_not_run_again(evaluated_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pakar.evaluate.systems.load", lambda *_: pytest.fail("loaded a model"))
    evaluate(evaluated_run)


def test_an_interrupted_run_goes_on_to_the_same_answers(
    trained_run: Run, evaluated_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, expected = trained_run, without_times(evaluated_run, "base")
    asked: list[int] = []
    complete = LocalEngine.complete

    def counted(self: LocalEngine, some: Sequence[Conversation], sampling: Sampling, seed: int) -> list[Completion]:
        if len(asked) == 1:
            raise KeyboardInterrupt
        asked.append(len(some))
        return complete(self, some, sampling, seed)

    monkeypatch.setattr(LocalEngine, "complete", counted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(run)
    with kept_file(run, "base-answers").open("a") as file:  # a torn batch: one whole line, half of another
        file.write(json.dumps({**expected[3], "answer": "torn"}) + '\n{"id": "half')
    asked[:] = [0, 0]
    evaluate(run)
    assert asked[2:] == [3, 1, 3, 3, 1]
    assert without_times(run, "base") == expected
    assert run.metrics_file.read_bytes() == evaluated_run.metrics_file.read_bytes()


def test_other_scoring_keeps_the_answers_and_needs_no_model(trained_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate(trained_run)
    before, measured = trained_run.answers_file("tuned").read_bytes(), files.read_json(trained_run.metrics_file)
    monkeypatch.setattr("pakar.evaluate.systems.load", lambda *_: pytest.fail("loaded a model"))
    run = with_section(trained_run, target_words=(1, 500), resamples=300, confidence=0.8)
    evaluate(run)
    assert run.answers_file("tuned").read_bytes() == before
    again = files.read_json(run.metrics_file)
    assert again["settings"]["target_words"] == [1, 500]
    assert again["systems"]["tuned"]["loss"]["value"] == measured["systems"]["tuned"]["loss"]["value"]
    assert again["systems"]["tuned"]["in_target_length"] != measured["systems"]["tuned"]["in_target_length"]
    monkeypatch.setattr("pakar.records.code_fingerprint", lambda _: "other code")
    evaluate(run)
    assert run.answers_file("tuned").read_bytes() == before


@pytest.mark.parametrize(
    "changes", [{"sampling": Sampling(max_tokens=5, temperature=1)}, {"batch_size": 2}, {"answers": 6}]
)
def test_what_decides_the_answers_makes_new_ones(
    changes: dict[str, Any], trained_run: Run, tmp_path: Path, base: BaseModel
) -> None:
    evaluate(trained_run)
    evaluate(with_section(trained_run, **changes))
    fresh = with_section(train(base, tmp_path / "fresh"), **changes)
    evaluate(fresh)
    assert without_times(trained_run, "tuned") == without_times(fresh, "tuned")
    assert trained_run.metrics_file.read_bytes() == fresh.metrics_file.read_bytes()
    assert len(list((trained_run.directory / kept.DIRECTORY).iterdir())) == 4


def test_another_model_or_split_makes_new_likelihoods(trained_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate(trained_run)
    loaded: list[str] = []
    load = systems.load

    def counted(name: SystemName, *rest: Any) -> System:
        loaded.append(name)
        return load(name, *rest)

    monkeypatch.setattr("pakar.evaluate.systems.load", counted)
    path = trained_run.stage_dir("train") / "stage.json"
    files.write_json(path, files.read_json(path) | {"outputs": {"model": "other"}})
    evaluate(trained_run)
    assert loaded == ["tuned"]
    write_split(trained_run, split()[1:])
    path = trained_run.stage_dir("prepare") / "stage.json"
    files.write_json(path, files.read_json(path) | {"outputs": {"test": "other"}})
    evaluate(trained_run)
    assert loaded == ["tuned", "base", "tuned"]
    assert files.read_json(trained_run.metrics_file)["settings"]["test_examples"] == 10


def test_damaged_kept_files_are_made_again(trained_run: Run) -> None:
    evaluate(trained_run)
    expected = without_times(trained_run, "base")
    for beginning in ("base-answers", "base-likelihoods"):
        path = kept_file(trained_run, beginning)
        path.write_text("\0\0\n" + path.read_text())
    trained_run.metrics_file.unlink()
    evaluate(trained_run)
    assert without_times(trained_run, "base") == expected


def test_scoring_reads_the_stored_answers(evaluated_run: Run, tmp_path: Path) -> None:
    stored = files.read_json_lines(evaluated_run.answers_file("tuned"))
    path = tmp_path / "changed.jsonl"
    files.write_json_lines(path, [{**row, "answer": row["reference"]} for row in stored])
    test = list(examples.read(evaluated_run.examples_dir("test")))
    likelihoods = [Likelihood(1.0, 1, 1, truncated=False)] * len(test)
    again = scores.score(test, likelihoods, answers.read(path), evaluated_run.recipe.evaluate)
    assert [row.columns["chrf"] for row in again if "chrf" in row.columns] == [100.0] * 7


def test_without_a_test_split_every_metric_says_so(trained_run: Run) -> None:
    write_split(trained_run, [])
    evaluate(trained_run)
    metrics = files.read_json(trained_run.metrics_file)
    assert metrics["systems"]["tuned"]["loss"] == {"skipped": "there are no test examples"}
    assert metrics["settings"]["test_examples"] == 0


def test_without_answers_the_likelihood_stands_alone(trained_run: Run) -> None:
    run = with_section(trained_run, answers=0)
    evaluate(run)
    measured = files.read_json(run.metrics_file)["systems"]["tuned"]
    assert measured["loss"]["n"] == 11
    assert measured["chrf"] == {"skipped": "no answers were generated"}
    assert files.read_json_lines(run.answers_file("tuned")) == []


def test_needs_a_finished_training(trained_run: Run) -> None:
    files.remove(trained_run.stage_dir("train") / "stage.json")
    with pytest.raises(UserError, match="train has not finished"):
        evaluate(trained_run)
