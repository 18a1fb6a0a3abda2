"""The recipe of the bundled model, at 1/200 of its scale and from nothing: texts that are written here, tokenizer, weights."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard
from transformers import AutoModelForCausalLM, AutoTokenizer

from pakar import files
from pakar.shards import TokenShards
from tests.command import pakar

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
WHO = [
    "The old farmer",
    "A young girl",
    "My neighbour",
    "The teacher",
    "Her brother",
    "A tired sailor",
    "The cook",
    "Our doctor",
]
DOES = ["looked for", "wrote about", "remembered", "carried", "sold", "painted", "asked for", "dreamt of", "found"]
WHAT = [
    "the red boat",
    "a warm coat",
    "seven apples",
    "the long letter",
    "a small garden",
    "the broken clock",
    "some bread",
]
WHERE = ["by the river", "in the city", "at home", "near the station", "on the hill", "before noon", "after the rain"]
CONTAMINATED = "Nobody in the whole village had ever seen such a strange and beautiful bird before that winter morning."


def sentence(chance: random.Random) -> str:
    return f"{chance.choice(WHO)} {chance.choice(DOES)} {chance.choice(WHAT)} {chance.choice(WHERE)}."


def rows(seed: int, documents: int) -> Iterator[dict[str, Any]]:
    """Half of them running text of about 1,800 characters, half conversations: 1/200 of 300 million characters in all."""
    chance = random.Random(seed)
    for number in range(documents):
        if number % 2:
            prose = " ".join(sentence(chance) for _ in range(38))
            yield {"source": "tales", "text": f"{prose}\n\n{sentence(chance)}"}
        else:
            who, what, where = chance.choice(WHO), chance.choice(WHAT), chance.choice(WHERE)
            asked = f"What did {who[0].lower()}{who[1:]} carry {where}?"
            talk = [("user", asked), ("assistant", f"{who} carried {what} {where}."), ("user", "Why?"), ("assistant", sentence(chance))]  # fmt: skip
            yield {"source": "talks", "messages": [{"role": role, "content": said} for role, said in talk]}
    yield {
        "source": "medquad",
        "messages": [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "No."}],
    }
    yield {"source": "tales", "text": f"{sentence(chance)} {CONTAMINATED}"}


def write_texts(folder: Path) -> None:
    folder.mkdir()
    for number in range(2):
        lines = "".join(json.dumps(row) + "\n" for row in rows(number, 780))
        (folder / f"part-{number}.jsonl.zst").write_bytes(zstandard.compress(lines.encode()))
    (folder.parent / "held-out.jsonl").write_text(json.dumps({"text": CONTAMINATED}) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("starter")
    write_texts(place / "texts")
    return place


def arguments(folder: Path) -> list[str]:
    settings = {
        "prepare.sources.0.path": folder / "texts" / "*.jsonl.zst",
        "prepare.operators.1.against": f"[{{path: {folder / 'held-out.jsonl'}, shape: {{kind: text}}}}]",
        "model.architecture": "{kind: llama, layers: 2, width: 64, heads: 2, vocabulary: 512}",
        "model.context_tokens": 128,
        "prepare.split": "{validation: 60, test: 40}",
        "train.epochs": 2,
        "train.batch_size.tokens": 2048,
        "train.checkpoint_every": 50,
        "evaluate": "{answers: 8, resamples: 200, sampling: {max_tokens: 24}}",
    }
    return [str(ROOT / "recipes" / "starter.yaml"), *(w for name, value in settings.items() for w in ("--set", f"{name}={value}"))]  # fmt: skip


def test_a_plan_knows_the_weights_and_the_lengths_before_there_are_any(folder: Path) -> None:
    done = pakar("plan", *arguments(folder), "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # 512 × 64 tied, and in each of two layers 4 × 64² + 3 × 64 × 192 + 2 × 64; 64 of the last norm.
    assert found["training"]["parameters"]["total"] == 512 * 64 + 2 * (4 * 64**2 + 3 * 64 * 192 + 2 * 64) + 64
    assert found["training"]["lengths_measured"]
    assert not list(folder.glob("runs"))


def test_from_nothing_to_a_model_that_has_learnt_to_speak_and_to_answer(folder: Path) -> None:
    done = pakar("run", *arguments(folder), cwd=folder)
    assert done.returncode == 0, done.stderr
    run = folder / "runs" / "starter"
    # Every row is accounted for.
    ledger = files.read_json(run / "prepare" / "ledger.json")
    assert ledger["rejected"]["not_taken"] == 2
    assert ledger["rejected"]["contaminated"] == 2
    rejected = pl.read_parquet(sorted((run / "prepare" / "rejected").glob("*.parquet")))
    told = rejected.filter(pl.col("reason") == "contaminated")["detail"].unique().to_list()
    assert len(told) == 1
    assert "stand in held-out.jsonl" in told[0]
    # It has learnt: far below a uniform guess over 512 entries (6.24 nats), and it ends its answers.
    facts = files.read_json(run / "train" / "training.json")
    assert facts["first_validation_loss"] == pytest.approx(6.24, abs=0.3)
    assert facts["best_validation_loss"] < 2.0
    assert facts["stopping"]["ended"] == facts["stopping"]["answers"] > 0
    # Text came first.
    assert "train.order: text is read" in done.stderr
    # What is left is a model like any other.
    model = AutoModelForCausalLM.from_pretrained(run / "train" / "model")
    tokenizer = AutoTokenizer.from_pretrained(run / "train" / "model")
    assert model.config.vocab_size == 512
    assert tokenizer.decode(tokenizer("The cook, 12 apples").input_ids) == "The cook, 12 apples"
    shards = TokenShards(run / "prepare" / "tokens" / "train")
    assert int(shards.lengths().max()) <= 128
    again = pakar("run", *arguments(folder), cwd=folder)
    assert [line for line in again.stderr.splitlines() if line.endswith("unchanged, skipped")] == [
        f"{stage}: unchanged, skipped" for stage in ("base", "prepare", "train", "evaluate")
    ]


def test_a_model_from_nothing_is_handed_on_and_talked_to_like_any_other(folder: Path) -> None:
    exported = pakar("export", "starter", "--as", "merged", cwd=folder)
    assert exported.returncode == 0, exported.stderr
    said = pakar("chat", "starter", cwd=folder, stdin="What did the cook carry at home?\n")
    assert said.returncode == 0, said.stderr
    assert said.stdout.strip()
