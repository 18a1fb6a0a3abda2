"""Base models from a hub: what was trained is what is loaded again, and nobody is asked for what is here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from pakar import recipe, recipe_file
from pakar import run as runs
from pakar.errors import RecipeError
from pakar.models import base
from tests import tiny

OLD, NEW = "a" * 40, "b" * 40


class Hub:
    """Two commits of a model, of which the newer is what the branch is now; some of them are in the cache."""

    def __init__(self, place: Path) -> None:
        self.snapshots = place / "models--some--one" / "snapshots"
        for seed, commit in enumerate((OLD, NEW)):
            tiny.save_model(self.snapshots / commit, seed=seed)
        self.cached = {OLD}
        self.asked: list[str | None] = []

    def snapshot(self, name: str, revision: str | None = None, *, local_files_only: bool = False, **_: Any) -> str:
        commit = revision or NEW
        if local_files_only and commit not in self.cached:
            raise LocalEntryNotFoundError(f"{name} is not in the cache")
        if not local_files_only:
            self.asked.append(revision)
        return str(self.snapshots / commit)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    made = Hub(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.snapshot)
    return made


def test_a_commit_that_is_here_is_loaded_without_asking(hub: Hub) -> None:
    found = base.find(recipe.Model(base="some/one", revision=OLD))
    assert (found.revision, hub.asked) == (OLD, [])


def test_a_commit_that_is_not_here_or_not_whole_is_fetched(hub: Hub) -> None:
    assert base.find(recipe.Model(base="some/one", revision=NEW)).revision == NEW
    (hub.snapshots / OLD / "tokenizer.json").rename(hub.snapshots / "tokenizer.json")
    with pytest.raises(RecipeError, match="Missing: a tokenizer"):
        base.find(recipe.Model(base="some/one", revision=OLD))
    assert hub.asked == [NEW, OLD]


def test_a_shard_that_is_missing_is_fetched(hub: Hub) -> None:
    old = hub.snapshots / OLD
    (old / "model.safetensors").unlink()
    tiny.model().save_pretrained(old, max_shard_size="20KB")
    assert base.find(recipe.Model(base="some/one", revision=OLD)).revision == OLD
    assert hub.asked == []
    next(old.glob("model-00001-*")).unlink()
    with pytest.raises(RecipeError, match="a file that is there"):
        base.find(recipe.Model(base="some/one", revision=OLD))
    assert hub.asked == [OLD]


def test_a_branch_is_looked_up(hub: Hub) -> None:
    assert base.find(recipe.Model(base="some/one")).revision == NEW
    assert hub.asked == [None]


@pytest.mark.parametrize(
    ("recorded", "wanted", "revision"),
    [
        ({"name": "some/one", "revision": OLD}, None, OLD),
        ({"name": "some/one", "revision": OLD}, "main", "main"),
        ({"name": "some/one", "revision": None}, None, None),
        ({"name": "some/one", "revision": ""}, None, None),
        ({"name": "some/other", "revision": OLD}, None, None),
        (None, None, None),
    ],
)
def test_a_run_goes_on_with_the_base_that_it_was_trained_from(
    tmp_path: Path, recorded: dict[str, Any] | None, wanted: str | None, revision: str | None
) -> None:
    data = tiny.write_pairs(tmp_path / "rows.csv", tiny.pairs(4))
    loaded = recipe_file.load(tiny.write_recipe(tmp_path / "recipe.yaml", data, tmp_path))
    chosen = loaded.model.model_copy(update={"base": "some/one", "revision": wanted})
    if recorded is not None:
        (tmp_path / "run.json").write_text(json.dumps({"base": recorded}))
    assert runs.Run(tmp_path, loaded.model_copy(update={"model": chosen})).model == chosen.model_copy(update={"revision": revision})  # fmt: skip
