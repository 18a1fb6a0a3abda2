from __future__ import annotations

import json
import random
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pakar import files, recipe
from pakar.conversation import Example, Message
from pakar.engine.local import LocalEngine
from pakar.metrics import ANSWER_COLUMNS
from pakar.models.prompt import renderer
from pakar.train import answers, stopping
from pakar.train.answers import Questions
from tests import tiny
from tests.command import pakar


def questions(path: Path, count: int) -> Questions:
    asked = [
        Example(str(n), str(n), (Message("user", q), Message("assistant", a)))
        for n, (q, a) in enumerate(tiny.pairs(count))
    ]
    section = recipe.Evaluate(sampling=recipe.Sampling(max_tokens=8, temperature=0.7))
    return Questions(asked, renderer(tiny.tokenizer()), 96, section, path)


def test_asking_leaves_mode_and_random_generators_as_they_were(tmp_path: Path) -> None:
    torch.manual_seed(5)
    model = tiny.model()
    model.train()
    before = torch.get_rng_state().clone(), random.getstate(), str(np.random.get_state())
    questions(tmp_path / "answers.jsonl", 3).ask(model, 4)
    assert model.training
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert str(np.random.get_state()) == before[2]


def test_answers_are_greedy_kept_and_scored_like_those_of_the_evaluation(tmp_path: Path) -> None:
    asked, model = questions(tmp_path / "answers.jsonl", 11), tiny.model()
    first, again = asked.ask(model, 0), asked.ask(model, 3)
    assert first == again
    rows = files.read_json_lines(asked.path)
    assert [row["step"] for row in rows] == [0] * 11 + [3] * 11
    assert rows[0].keys() == {"step", "id", "answer", "stop_reason", *ANSWER_COLUMNS}
    assert first.keys() == {f"answers_{name}" for name in ANSWER_COLUMNS}
    assert first["answers_ended"] == sum(row["stop_reason"] == "end" for row in rows[:11]) / 11
    assert asked.at(3) == again


def test_more_questions_are_no_larger_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = LocalEngine.complete

    def counted(engine: LocalEngine, asked: Any, sampling: Any, seed: int) -> Any:
        seen.append(len(asked))
        return real(engine, asked, sampling, seed)

    monkeypatch.setattr(LocalEngine, "complete", counted)
    questions(tmp_path / "answers.jsonl", 20).ask(tiny.model(), 1)
    assert seen == [8, 8, 4]


def test_a_resumed_training_keeps_whole_measurements_up_to_its_checkpoint(tmp_path: Path) -> None:
    asked = questions(tmp_path / "answers.jsonl", 2)
    rows = [{"step": step, "id": one} for step in (0, 4, 8) for one in ("0", "1")]
    asked.path.write_text("".join(json.dumps(row) + "\n" for row in rows[:-1]) + '{"step": 8, "id"')
    asked.forget_after(8)
    assert [row["step"] for row in files.read_json_lines(asked.path)] == [0, 0, 4, 4]
    asked.forget_after(3)
    assert [row["step"] for row in files.read_json_lines(asked.path)] == [0, 0]


def scores(**values: float) -> dict[str, float]:
    return {"answers_ended": 1.0, "answers_empty": 0.0, "answers_chrf": 30.0} | {
        f"answers_{k}": v for k, v in values.items()
    }


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (scores(), None),
        ({}, None),
        (scores(ended=0.1), "does not stop: only 10% of its answers"),
        (scores(empty=0.8), "stopped answering: 80%"),
        (scores(chrf=12), r"worse, whatever the loss says.*chrF 30.0 → 12.0"),
    ],
)
def test_broken_answers_are_told_by_name(now: dict[str, float], told: str | None) -> None:
    found = answers.warning(scores(), now, can_end=1.0)
    assert (found is None) if told is None else re.search(told, str(found))


def test_long_references_are_no_reason_to_complain_that_answers_do_not_end() -> None:
    assert answers.warning(scores(), scores(ended=0.0), can_end=0.0) is None


def results(folder: Path) -> tuple[str, list[Any]]:
    train = folder / "runs" / "tiny" / "train"
    metrics = [json.loads(line) for line in (train / "metrics.jsonl").read_text().splitlines()]
    return files.sha256(train / "model" / "adapter_model.safetensors"), metrics


@pytest.mark.slow
def test_the_weights_are_the_same_with_and_without_answers_and_trackers(tmp_path: Path, tiny_base: Path) -> None:
    found = {}
    for count in (0, 3):
        folder = tmp_path / str(count)
        folder.mkdir()
        data = tiny.write_pairs(folder / "rows.csv", tiny.pairs(30))
        tiny.write_recipe(folder / "recipe.yaml", data, tiny_base)
        trackers = ["--set", "train.trackers=[tensorboard, mlflow]"] if count else []
        for command in ("prepare", "train"):
            done = pakar(command, "recipe.yaml", "--set", f"train.validation.answers={count}", *trackers, cwd=folder)
            assert done.returncode == 0, done.stderr
        found[count] = results(folder)
    assert found[0][0] == found[3][0]
    measured = [record for record in found[3][1] if "validation_loss" in record]
    assert measured
    assert all(0 <= record["answers_ended"] <= 1 and "answers_chrf" in record for record in measured)
    train = tmp_path / "3" / "runs" / "tiny" / "train"
    steps = [row["step"] for row in files.read_json_lines(train / "answers.jsonl")]
    assert steps == sorted([0, *(record["step"] for record in measured)] * 3)
    assert list((train / "tensorboard").glob("events.*"))
    assert (train / "mlflow" / "mlflow.db").exists()
    assert files.read_json(train / "training.json")["answers"]["asked"] == 3
    again = pakar("train", "recipe.yaml", "--set", "train.validation.answers=3", cwd=tmp_path / "3")
    assert "train: unchanged, skipped" in again.stderr


def test_cutting_back_many_answers_takes_no_time(tmp_path: Path) -> None:
    asked = questions(tmp_path / "answers.jsonl", 200)
    rows = [{"step": step, "id": str(one)} for step in range(100) for one in range(200)]
    files.write_json_lines(asked.path, rows)
    started = time.process_time()
    asked.forget_after(99)
    assert time.process_time() - started < 5  # a look at all rows for each of them would take minutes
    assert files.read_json_lines(asked.path) == rows


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute of a Tensor:UserWarning")
def test_compiled_layers_answer_as_they_are_and_are_not_compiled_anew(tmp_path: Path) -> None:
    model: Any = tiny.model()
    compiled: list[Any] = []

    def compiler(graph: Any, _: Any) -> Any:
        compiled.append(graph)
        return graph.forward

    for layer in model.model.layers:
        layer.compile(dynamic=True, backend=compiler)
    questions(tmp_path / "answers.jsonl", 2).ask(model, 1)
    prompts = renderer(tiny.tokenizer())
    stopping._ends(model, prompts.prompt((Message("user", "Why?"),)), 2, 4)
    assert compiled == []
    model(input_ids=torch.tensor([[5, 6]]))
    assert compiled
