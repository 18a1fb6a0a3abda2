"""Muon, steps of tokens, text first and then conversations: interrupted, they go on to the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pakar import files, shards
from pakar.conversation import Message
from pakar.errors import RecipeError, UserError
from pakar.models.prompt import renderer
from pakar.recipe import Full, Model, Prepare, Recipe, Source, Train
from pakar.recipe.model import Llama
from pakar.run import Run
from pakar.train import stage
from tests import tiny
from tests.train import test_resume

SETTINGS: dict[str, Any] = {
    "method": {"kind": "full"},
    "batch_size": {"tokens": 160},
    "optimizer": {"kind": "muon", "others_learning_rate": 0.004},
    "schedule": {"kind": "wsd", "decay": 0.4},
    "order": {"kind": "text-then-conversations", "early": 0.1, "late": 0.2},
}


def make_run(folder: Path, base: Path, **values: Any) -> Run:
    """Half of the training split is running text."""
    run = test_resume.make_run(folder, base, **{**SETTINGS, **values})
    prompts = renderer(tiny.tokenizer())
    texts = [prompts.example((Message("text", f"{answer} {question}"),)) for question, answer in tiny.pairs(10)]
    rows = [(f"text {number}", *one) for number, one in enumerate(texts)]
    shards.write(run.tokens_dir("train") / "part-00001.arrow", rows)
    paths = [path for name in ("train", "validation") for path in run.tokens_dir(name).glob("*.arrow")]
    record = files.read_json(run.stage_dir("prepare") / "stage.json")
    record["outputs"]["tokens"] = files.tree_sha256(paths, run.stage_dir("prepare"))
    files.write_json(run.stage_dir("prepare") / "stage.json", record)
    return run


def weights(run: Run) -> str:
    return files.sha256(run.model_dir / "model.safetensors")


@pytest.mark.parametrize("after", [2, 7])
def test_interrupted_before_and_behind_the_turn_it_ends_with_the_same_weights(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    unbroken = make_run(tmp_path / "unbroken", tiny_base)
    stage.train(unbroken)
    records = files.read_json_lines(unbroken.train_metrics_file)
    assert records[-1]["loss"] < records[0]["loss"]
    assert after < len(records)
    assert np.ptp([record["tokens"] for record in records]) > 0
    broken = test_resume.interrupted(make_run(tmp_path, tiny_base), monkeypatch, after=after)
    stage.train(make_run(tmp_path, tiny_base))
    assert weights(broken) == weights(unbroken)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"batch_size": 4, "order": "shuffled"}, r"train\.order\.kind"),
        ({"batch_size": {"tokens": 200}}, r"train\.batch_size\.tokens \(160 → 200\)"),
        ({"order": {"kind": "text-then-conversations", "late": 0.5}}, r"train\.order\.late \(0\.2 → 0\.5\)"),
        ({"optimizer": {"kind": "muon"}}, r"train\.optimizer\.others_learning_rate"),
    ],
)
def test_another_order_or_optimizer_is_refused(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], told: str
) -> None:
    test_resume.interrupted(make_run(tmp_path, tiny_base), monkeypatch, after=2)
    with pytest.raises(RecipeError, match=told):
        stage.train(make_run(tmp_path, tiny_base, **changed))


def test_muon_is_not_spread_over_processes(tmp_path: Path, tiny_base: Path) -> None:
    run = make_run(tmp_path, tiny_base, launch={"kind": "processes", "count": 2, "sharding": "full"})
    with pytest.raises(RecipeError, match="whole matrices, as Muon needs them, cannot be spread"):
        stage.train(run)


def test_whoever_has_prepared_nothing_is_told_so_and_not_of_a_missing_base(tmp_path: Path) -> None:
    whole = Recipe(
        name="q",
        model=Model(architecture=Llama(layers=1)),
        train=Train(method=Full()),
        prepare=Prepare(sources=(Source(path="a.csv"),)),
    )
    with pytest.raises(UserError, match="prepare"):
        stage.train(Run(tmp_path / "q", whole))
