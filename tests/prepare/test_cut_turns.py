from __future__ import annotations

import itertools
import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pakar import examples, files, recipe_file
from pakar.conversation import Conversation, Message
from pakar.models.prompt import renderer
from pakar.prepare.cut_turns import pieces
from pakar.prepare.stage import prepare
from pakar.run import Run
from tests import tiny

PROMPTS = renderer(tiny.tokenizer())
CONTEXT = 96


def talk(lengths: list[int], system: str = "") -> Conversation:
    """A conversation with one turn for each length in words."""
    turns = [
        message
        for number, words in enumerate(lengths)
        for message in (
            Message("user", f"What about {number}?"),
            Message("assistant", " ".join(["rest"] * words) + "."),
        )
    ]
    return (*([Message("system", system)] if system else []), *turns)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.sampled_from(["", "Be kind."]))
def test_nothing_is_lost_and_every_piece_fits_or_is_one_turn(lengths: list[int], system: str) -> None:
    whole = talk(lengths, system)
    found = pieces(whole, PROMPTS, CONTEXT)
    head = 1 if system else 0
    assert tuple(message for piece in found for message in piece[head:]) == whole[head:]
    for piece in found:
        assert piece[:head] == whole[:head]
        assert [message.role for message in piece[head:]] == ["user", "assistant"] * ((len(piece) - head) // 2)
        assert len(PROMPTS.example(piece).ids) <= CONTEXT or len(piece) == head + 2
    for piece, after in itertools.pairwise(found):  # as few as can be: the next turn would not have fitted
        assert len(PROMPTS.example((*piece, *after[head : head + 2])).ids) > CONTEXT


def test_long_talks_become_examples_of_one_split_and_the_books_balance(tmp_path: Path, tiny_base: Path) -> None:
    rows = [talk([3] * 8, "Be kind."), talk([3]), talk([80, 2])]
    rows = [tuple(m._replace(content=f"{m.content} Week {n}{k}.") for k, m in enumerate(row)) for n, row in enumerate(rows)]  # fmt: skip
    lines = (json.dumps({"messages": [message.as_chat() for message in row]}) for row in rows)
    (tmp_path / "talks.jsonl").write_text("\n".join(lines))
    (tmp_path / "recipe.yaml").write_text(
        f"name: long\nmodel: {{base: {tiny_base}, context_tokens: {CONTEXT}}}\n"
        f"prepare: {{sources: [{{path: {tmp_path / 'talks.jsonl'}}}], too_long: split, executor: {{workers: 1}},\n"
        "  operators: [encoding], near_duplicates: {treatment: ignore}, split: {validation: 1, test: 0}}\n"
    )
    run = Run(tmp_path / "run", recipe_file.load(tmp_path / "recipe.yaml"))
    prepare(run)
    ledger = files.read_json(run.ledger_file)
    frames = [examples.frame(run.examples_dir(name)) for name in ("train", "validation")]
    assert ledger["rows_in"] == ledger["kept"] == sum(map(len, frames))
    assert ledger["added_by_cutting"] == ledger["rows_in"] - 3
    assert ledger["groups_crossing"] == 0
    assert ledger["changed"] == {"truncate": 1}  # the turn that is too long alone
    kept = {(row["offset"], row["part"]): row["messages"] for frame in frames for row in frame.iter_rows(named=True)}
    said = [m["content"] for key in sorted(kept) if key[0] == 1 for m in kept[key] if m["role"] != "system"]
    assert said == [message.content for message in rows[0] if message.role != "system"]
    assert (2, 0) in kept
    assert sum(all(row["offset"] != 1 for row in frame.iter_rows(named=True)) for frame in frames) == 1
