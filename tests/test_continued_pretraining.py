"""A folder of plain texts, nothing else: from `init` to a tuned model."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pakar import files
from pakar.models.prompt import renderer
from pakar.shards import TokenShards
from tests import tiny
from tests.command import pakar

WORDS = [
    "sleep",
    "bed",
    "night",
    "quiet",
    "breath",
    "slow",
    "calm",
    "light",
    "morning",
    "hour",
    "walk",
    "tea",
    "rest",
    "week",
    "day",
]


@pytest.mark.slow
def test_a_folder_of_texts_is_learnt_whole_with_its_ends(tmp_path: Path, tiny_base: Path) -> None:
    chance = random.Random(1)
    (tmp_path / "texts").mkdir()
    for number in range(24):
        words = chance.choices(WORDS, k=60 if number == 3 else chance.randint(4, 12))
        (tmp_path / "texts" / f"{number:02d}.txt").write_text(f"{' '.join(words).capitalize()} {number}.\n")
    assert pakar("init", "texts", cwd=tmp_path).returncode == 0
    tiny_settings = {
        "model.base": tiny_base, "model.context_tokens": 96, "train.epochs": 2, "train.batch_size": 4,
        "train.learning_rate": 0.01, "evaluate.resamples": 200, "prepare.executor": "{workers: 1}",
    }  # fmt: skip
    overrides = [word for name, value in tiny_settings.items() for word in ("--set", f"{name}={value}")]
    done = pakar("run", "pakar.yaml", *overrides, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "texts"
    ledger = files.read_json(run / "prepare" / "ledger.json")
    assert ledger["kept"] == 24
    assert ledger["changed"].get("truncate", 0) == 0
    prompts = renderer(tiny.tokenizer())
    texts: dict[str, str] = {}
    ends = 0
    for split in ("train", "validation"):
        shards = TokenShards(run / "prepare" / "tokens" / split)
        for number in range(len(shards)):
            sequence = shards[number]
            assert len(sequence.input_ids) <= 96
            ids = sequence.input_ids.tolist()
            assert all(sequence.loss_mask[1:])  # all of a text is learnt
            ends += ids.count(prompts.end_id)
            texts[sequence.example] = texts.get(sequence.example, "") + str(
                prompts.tokenizer.decode(ids, skip_special_tokens=True)
            )
    assert ends == len(texts) == ledger["splits"]["train"] + ledger["splits"]["validation"]
    written = {path.read_text().strip() for path in (tmp_path / "texts").glob("*.txt")}
    assert set(texts.values()) <= written  # windows of a long text, put together again, are the text
    facts = files.read_json(run / "train" / "training.json")
    assert facts["best_validation_loss"] < facts["first_validation_loss"]
