"""Messages that are only to be read: from every spelling in the files to the loss mask in the token shards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pakar import examples, files, recipe_file
from pakar.conversation import Example, Message, conversation
from pakar.examples import MESSAGES
from pakar.models.base import find
from pakar.models.prompt import renderer
from pakar.prepare import keys
from pakar.prepare.sources.turns import BadTurnsError
from pakar.prepare.sources.turns import conversation as turns_of
from pakar.prepare.stage import prepare
from pakar.run import Run
from pakar.shards import TokenShards
from tests.prepare.sources.helpers import read, write


def talk(*weights: dict[str, Any], number: int = 0) -> dict[str, Any]:
    """A conversation with one turn for each weight."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Be kind."}]
    for turn, weight in enumerate(weights):
        messages.append({"role": "user", "content": f"What helps me in week {number}, turn {turn}?"})
        messages.append({"role": "assistant", "content": f"Rest {number + 2} times, then {turn}.", **weight})
    return {"messages": messages}


@pytest.mark.parametrize(
    "spelling",
    [{"weight": 0}, {"weight": 0.0}, {"weight": "0"}, {"train": False}, {"loss": False}, {"masked": True}, {"loss": 0}],
)
def test_every_usual_spelling_is_understood(tmp_path: Path, spelling: dict[str, Any]) -> None:
    lines = "".join(json.dumps(talk(spelling, {}, number=n)) + "\n" for n in range(3))
    found = read(write(tmp_path / "a.jsonl", lines))
    assert [[m["learn"] for m in messages] for messages in found.kept["messages"].to_list()] == [
        [True, True, False, True, True]
    ] * 3


def test_parquet_holds_weights_too(tmp_path: Path) -> None:
    pl.DataFrame([talk({"weight": 0}, {"weight": 1}), talk({"weight": None}, {"weight": 1}, number=1)]).write_parquet(
        tmp_path / "a.parquet"
    )
    found = read(tmp_path / "a.parquet")
    assert [[m["learn"] for m in messages][2::2] for messages in found.kept["messages"].to_list()] == [
        [False, True], [True, True],
    ]  # fmt: skip


@pytest.mark.parametrize("value", [0.5, 2, "maybe", -1])
def test_a_weight_that_is_neither_0_nor_1_is_rejected_by_name(value: object) -> None:
    with pytest.raises(BadTurnsError, match=r"message 2 has weight .* only 0 \(read\) and 1 \(learnt\)") as caught:
        turns_of([{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So.", "weight": value}], role="role", content="content")  # fmt: skip
    assert caught.value.reason == "unsupported_weight"


def test_answers_in_a_row_of_which_one_is_learnt_are_rejected_by_name() -> None:
    said = [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "Hm.", "weight": 0},
        {"role": "assistant", "content": "So."},
    ]
    with pytest.raises(BadTurnsError) as caught:
        turns_of(said, role="role", content="content")
    assert caught.value.reason == "mixed_weights"


def test_equal_words_with_other_weights_are_other_rows() -> None:
    first = (Message("user", "Why?"), Message("assistant", "So.", learn=False))
    second = (Message("user", "Why?"), Message("assistant", "So."))
    assert keys.identity(first) != keys.identity(second)


def test_the_reference_is_the_last_answer_that_is_learnt() -> None:
    messages = tuple(Message(role, f"{n}") for n, role in enumerate(("user", "assistant", "user", "assistant")))  # type: ignore[arg-type]
    assert Example("", "", messages).reference == "3"
    first = Example("", "", (*messages[:3], messages[3]._replace(learn=False)))
    assert (first.reference, first.prompt) == ("1", messages[:1])


def test_examples_of_earlier_versions_can_still_be_read(tmp_path: Path) -> None:
    old = pl.DataFrame({"id": ["a"], "group": ["b"], "messages": [[{"role": "user", "content": "Why?"}]]})
    old.write_parquet(tmp_path / "part-00000.parquet")
    assert [*examples.read(tmp_path)] == [Example("a", "b", (Message("user", "Why?"),))]


def prepared(folder: Path, base: Path, rows: list[dict[str, Any]], more: str = "") -> Run:
    write(folder / "talks.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write(
        folder / "recipe.yaml",
        f"name: weights\nmodel: {{base: {base}, context_tokens: 128}}\n"
        f"prepare:\n  sources: [{{path: {folder / 'talks.jsonl'}}}]\n  split: {{validation: 0, test: 0}}\n"
        "  near_duplicates: {treatment: ignore}\n  executor: {kind: local, workers: 1}\n"
        "  operators: [encoding, html, white-space, {kind: personal-data}, {kind: length, of: answer, unit: words, max: 10, over: truncate}]\n"
        + more,
    )
    run = Run(folder / "run", recipe_file.load(folder / "recipe.yaml"))
    prepare(run)
    return run


def test_weights_survive_cleaning_and_reach_the_loss_mask(tmp_path: Path, tiny_base: Path) -> None:
    rows = [talk({"weight": 0}, {}, number=n) for n in range(4)]
    rows[0]["messages"][3]["content"] += "  <p>Mail me@example.org</p>"  # makes every operator change something
    rows += [talk({"weight": 0}, {"weight": 0}, number=9), talk({}, number=0)]
    run = prepared(tmp_path, tiny_base, rows)
    ledger = files.read_json(run.ledger_file)
    assert ledger["rejected"] == {"nothing_learnt": 1}
    assert ledger["kept"] == 5
    prompts = renderer(find(run.recipe.model).tokenizer())
    by_id = {one["id"]: one["messages"] for one in examples.frame(run.examples_dir("train")).iter_rows(named=True)}
    shards = TokenShards(run.tokens_dir("train"))
    assert len(shards) == 5
    for number in range(len(shards)):
        sequence = shards[number]
        learnt = prompts.tokenizer.decode(sequence.input_ids[sequence.loss_mask == 1].tolist())
        messages = conversation(by_id[sequence.example])
        assert learnt == "".join(f"{m.content}<|end|>" for m in messages if m.is_learnt)
        assert sum(m.role == "assistant" for m in messages) == (
            2 if "Rest" in messages[2].content and len(messages) == 5 else 1
        )


def test_messages_have_one_type_everywhere() -> None:
    assert [field.name for field in MESSAGES.inner.fields] == list(Message._fields)  # type: ignore[union-attr]
