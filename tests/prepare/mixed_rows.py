"""Rows of all kinds, in as many files as wanted, and what preparation makes of them."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from pakar import examples, files, recipe_file
from pakar.conversation import SPLITS
from pakar.prepare.stage import prepare
from pakar.run import Run

Pair = tuple[str, str]

SCRIPTS = (
    ("How do I fall asleep in week {}?", "Go to bed at the same hour, {} nights in a row."),
    ("第{}週はどうすればよく眠れますか。", "毎晩{}分、ゆっくり呼吸してください。"),
    ("كيف أنام جيدًا في الأسبوع {}؟", "اذهب إلى الفراش في نفس الساعة {} مرات."),
    ("איך ישנים טוב בשבוע {}?", "ללכת לישון באותה שעה {} פעמים."),
    ("😴 week {} 👩‍👩‍👧?", "🌙 {} 🛌🏽 and rest."),
    ("Line one\r\nline two, week {}?", "First {}.\r\n\r\nThen rest.\n"),
    ("A zero\0 in week {}?", "It \0 passes after {} days."),
    ("  <p>Why week {}?</p>", "<ul><li>{}</li></ul> &amp; so on"),
    ('Quotes "here", and\ttabs, week {}?', "Say 'yes', {} times; \\n is no line end."),
)  # fmt: skip


def rows(count: int) -> list[Pair]:
    """`count` different rows, and some that are empty or repeated, and one of a megabyte."""
    made = [tuple(text.format(number) for text in SCRIPTS[number % len(SCRIPTS)]) for number in range(count)]
    extra = [
        ("", "No question."),
        ("No answer, here?", " "),
        *made[:7],
        ("Is this long?", "Breathe in and out. " * 50_000),
    ]
    return [(question, answer) for question, answer in [*made, *extra]]


def write_parts(folder: Path, pairs: Sequence[Pair], count: int, ending: str = "jsonl") -> Path:
    """The rows in `count` files; returns the pattern that finds them."""
    folder.mkdir(parents=True)
    for number in range(count):
        part = pairs[number * len(pairs) // count : (number + 1) * len(pairs) // count]
        records = [{"question": question, "answer": answer} for question, answer in part]
        path = folder / f"part-{number}.{ending}"
        if ending == "parquet":
            pl.DataFrame(records).write_parquet(path, row_group_size=50)
        else:
            path.write_text(
                "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8"
            )
    return folder / f"part-*.{ending}"


def shuffled(pairs: Sequence[Pair], seed: int = 3) -> list[Pair]:
    """In another order."""
    return random.Random(seed).sample(list(pairs), len(pairs))


def write_recipe(folder: Path, data: Path, base: Path) -> Path:
    """A recipe named `mixed`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.yaml"
    path.write_text(
        f"""
name: mixed
model: {{base: {base}, context_tokens: 96}}
prepare:
  sources: [{{path: "{data}", shape: {{kind: pairs, question: question, answer: answer}}}}]
  split: {{validation: 0.2, test: 0.2}}
  augment: {{kind: rephrase, copies: 1}}
"""
    )
    return path


def prepared(folder: Path, data: Path, base: Path, executor: str) -> dict[str, Any]:
    """What `outcome` says of a run in this process."""
    recipe = recipe_file.load(write_recipe(folder, data, base), [f"prepare.executor={executor}"])
    run = Run(folder / "runs" / "mixed", recipe)
    prepare(run)
    return outcome(run.directory)


def outcome(directory: Path) -> dict[str, Any]:
    """All of a prepared run that must not depend on who did the work, and in which order it came."""
    stage = directory / "prepare"
    rejected = pl.read_parquet(stage / "rejected" / "*.parquet")
    assert not [path for path in stage.rglob("*") if path.name.endswith(".tmp")]
    assert not (stage / "spool").exists()
    return {
        "ids": {split: Counter(examples.frame(stage / "examples" / split)["id"].to_list()) for split in SPLITS},
        "rejected": Counter(rejected["reason"].to_list()),
        "ledger": files.read_json(stage / "ledger.json"),
        "outputs": files.read_json(stage / "stage.json")["outputs"],
    }
