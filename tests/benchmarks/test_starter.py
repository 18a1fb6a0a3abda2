from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.starter_bits import Texts

from benchmarks import starter, starter_bits, starter_talk
from pakar import files
from tests import tiny


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_model(tmp_path_factory.mktemp("starter") / "model")


def test_all_figures_of_a_directory_are_there(directory: Path, tmp_path: Path) -> None:
    rows = [{"text": f"In week {n} they slept at night and woke early in the morning."} for n in range(20)]
    files.write_json_lines(tmp_path / "a.jsonl", rows)
    base, system = starter.load(directory, 128)
    source = f"{{path: {tmp_path / 'a.jsonl'}}}"
    texts = starter_bits.texts_of(f"weeks={source}", 5)
    assert (texts.name, len(texts.texts)) == ("weeks", 5)
    assert starter_bits.of_model(system, texts) > 3  # it has learnt nothing
    counted = starter_bits.count_five_grams(source, system.renderer, 10_000)
    assert starter_bits.of_five_gram(counted, system.renderer, texts) < 1  # it has seen these very texts
    assert 0 < starter_bits.of_xz(Texts("one", ["a" * 1000])) < 1
    assert starter_talk.speed(base, system, answers=1).tokens_per_second > 0


def test_fifty_questions_are_asked_and_every_answer_is_shown(directory: Path) -> None:
    _, system = starter.load(directory, 128)
    asked = starter_talk.ask(system)
    assert len({question for question, _ in asked}) == 50
    shown = starter_talk.transcript(asked)
    assert all(f"**{question}**" in shown for question, _ in asked)
    assert shown.count("\n> ") == 50


def test_personal_data_in_sampled_text_are_found(directory: Path) -> None:
    _, system = starter.load(directory, 128)
    assert starter_talk.scan(system, 300, rows=4).tokens >= 300
    found = starter_talk._found(["Write to ann.miller@example.org or call +44 20 7946 0018, said Ann Miller."], 30)
    assert found.counts == {"email": 1, "phone": 1, "person name": 1}
