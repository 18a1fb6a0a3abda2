"""A real Llama of a few thousand weights with a real tokenizer, and a run directory in which it has been trained."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pakar import examples, files, records, text
from pakar.conversation import Example, Message
from pakar.evaluate.stage import evaluate
from pakar.evaluate.systems import System
from pakar.models.base import BaseModel
from pakar.models.prompt import renderer
from pakar.models.tuned import PROVENANCE
from pakar.recipe import Evaluate, Model, Prepare, Recipe, Sampling, Source
from pakar.run import Run
from tests import tiny


def pair(question: str, answer: str) -> Example:
    """One question with its answer; the same question makes the same group."""
    messages = (Message("user", question), Message("assistant", answer))
    return Example(text.fingerprint(question, answer), text.fingerprint(question), messages)


def small_split() -> list[Example]:
    """Eleven examples: nine answers to six questions, a plain text, and one that is longer than the context."""
    asked = [pair(f"How can I sleep in week {n % 6}?", f"Breathe {n} times. " * (n % 3 + 1)) for n in range(9)]
    plain = Example("plain", "plain", (Message("text", "Sleep is good. Schlaf tut gut."),))
    return [*asked, plain, pair("Why?", "Go to bed at the same hour. " * 40)]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    directory = tmp_path_factory.mktemp("base")
    tiny.save_model(directory, seed=0)
    return BaseModel(str(directory), directory)


@pytest.fixture
def system(base: BaseModel) -> System:
    return System("base", base.load(), renderer(base.tokenizer()), context_tokens=96)


@pytest.fixture
def trained_run(base: BaseModel, tmp_path: Path) -> Run:
    return train(base, tmp_path)


@pytest.fixture(scope="session")
def evaluated_run(base: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = train(base, tmp_path_factory.mktemp("evaluated"))
    evaluate(run)
    return run


def train(base: BaseModel, directory: Path) -> Run:
    """A run whose prepare and train stages have finished; the tuned model has other weights than the base."""
    recipe = Recipe(
        name="tiny",
        model=Model(base=base.name, context_tokens=96),
        prepare=Prepare(sources=(Source(path="unused.csv"),)),
        evaluate=Evaluate(
            answers=7, batch_size=3, resamples=200, sampling=Sampling(max_tokens=8, temperature=1), target_words=(1, 5)
        ),
    )
    run = Run(directory / "tiny", recipe)
    write_split(run, small_split())
    files.write_json(
        run.stage_dir("prepare") / "stage.json", {"inputs": {}, "outputs": {"test": "t"}, "files": {}, "seconds": 1}
    )
    tiny.save_model(run.model_dir, seed=1)
    prints = {"base_fingerprint": base.fingerprint, "prompt_fingerprint": renderer(base.tokenizer()).fingerprint}
    files.write_json(run.model_dir / PROVENANCE, prints)
    left = records.fingerprints(run.stage_dir("train"))
    files.write_json(
        run.stage_dir("train") / "stage.json", {"inputs": {}, "outputs": {"model": "m"}, "files": left, "seconds": 1}
    )
    return run


def write_split(run: Run, split: list[Example]) -> None:
    """Write `split` as prepare does."""
    rows = [
        {"id": e.id, "group": e.group, "source": "s", "offset": 1, "part": 0, "augmented": False}
        | {"messages": [message._asdict() for message in e.messages]}
        for e in split
    ]
    directory = run.examples_dir("test")
    directory.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows, schema=examples.SCHEMA).write_parquet(directory / "part-0.parquet")
