from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file
from scripts import store_starter
from scripts.store_starter import rounding, store

from pakar import files, recipe
from pakar.models import base
from pakar.models.intake.layout import EIGHT_BITS
from tests import tiny


def test_weights_are_stored_for_every_loader_where_there_is_room(tmp_path: Path) -> None:
    model, out = tiny.save_model(tmp_path / "model"), tiny.save_model(tmp_path / "out", seed=4)
    store(model, out)
    stored, trained = load_file(out / "model.safetensors"), load_file(model / "model.safetensors")
    assert not (out / EIGHT_BITS).exists()
    assert {name: weight.bfloat16().float().sum() for name, weight in trained.items()} == {
        name: weight.float().sum() for name, weight in stored.items()
    }


def test_a_trained_model_takes_the_place_of_the_one_before_and_the_card_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out = tiny.save_model(tmp_path / "model"), tiny.save_model(tmp_path / "out", seed=4)
    (out / "README.md").write_text("the card")
    monkeypatch.setattr(store_starter, "MOST_BYTES", 1000)
    size = store(model, out)
    assert (out / "README.md").read_text() == "the card"
    assert not (out / "model.safetensors").exists()
    assert size > (out / EIGHT_BITS).stat().st_size > 0
    assert base.find(recipe.Model(base=str(out))).tokenizer().get_vocab() == tiny.tokenizer().get_vocab()
    files.write_json_lines(tmp_path / "a.jsonl", [{"text": "They went to bed at the same hour every night."}] * 3)
    told = rounding(model, out, [f"beds={{path: {tmp_path / 'a.jsonl'}}}"], 3)
    assert "| beds |" in told
