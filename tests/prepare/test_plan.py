from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from pakar import recipe_file
from pakar.conversation import Message
from pakar.models.prompt import renderer
from pakar.prepare import local, plan, sources
from pakar.prepare.plan import estimate
from pakar.prepare.plan import size as sizes
from pakar.prepare.plan.mask import Segment, segments
from pakar.recipe import Local, Recipe, Source
from tests import tiny

DIRTY = [
    *tiny.pairs(40),
    tiny.pairs(1)[0],
    ("<b>Is it late?</b>", "It isnâ€™t."),
    ("Whom can I write to?", "Write to ann@example.org \x1b[31m now."),
    ("Why?", ""),
    ("How long?", "So long. " * 60),
]


@pytest.fixture
def recipe(tmp_path: Path, tiny_base: Path) -> Recipe:
    data = tiny.write_pairs(tmp_path / "rows.csv", DIRTY)
    return recipe_file.load(tiny.write_recipe(tmp_path / "r.yaml", data, tiny_base))


def shown(found: plan.Plan, *, colours: bool = False) -> str:
    out = StringIO()
    plan.show(
        found, Console(file=out, width=100, force_terminal=colours, color_system="truecolor" if colours else None)
    )
    return out.getvalue()


def test_a_plan_tells_what_would_become_of_the_rows_and_writes_nothing(recipe: Recipe, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    found = plan.look(recipe)
    assert sorted(tmp_path.rglob("*")) == before
    assert (found.rows.looked_at, found.kept.looked_at, found.repeated) == (45, 44, 1)
    assert {name: seen.looked_at for name, seen in found.rejected.items()} == {"empty_answer": 1}
    assert found.changed["html"].looked_at == 1
    assert found.longest["rows"] == found.changed["truncate"].looked_at == 1
    assert found.tokens is not None
    assert found.estimate.tokens == found.tokens["total"]
    assert (found.sources[0].rows, found.sources[0].exact) == (45, True)


def test_a_part_of_the_rows_stands_for_all(recipe: Recipe) -> None:
    found = plan.look(recipe, rows=15)
    assert (found.rows.looked_at, found.rows.expected) == (15, 45)
    assert (found.kept.looked_at, found.kept.expected) == (15, 45)
    assert "told from 15 of them" in shown(found)


def test_texts_are_masked_unless_rows_are_asked_for(recipe: Recipe) -> None:
    quiet, asked = plan.look(recipe), plan.look(recipe, show=20)
    assert "ann@example.org" not in shown(quiet)
    assert not {"masks", "shown"} & set(plan.as_json(quiet))
    assert {"masks", "shown"} <= set(json.loads(json.dumps(plan.as_json(asked))))


def test_rows_are_shown_before_and_after_each_operator_and_with_the_reason(recipe: Recipe) -> None:
    text = shown(plan.look(recipe, show=20))
    assert "html: [-<b>-]Is it late?" in text
    assert "rejected by empty: empty_answer" in text
    assert "rows.csv, row 44" in text


def test_a_row_that_was_cut_into_several_is_shown_with_its_pieces(tmp_path: Path, tiny_base: Path) -> None:
    data = tmp_path / "notes.jsonl"
    texts = ["One two three.\n\nFour five six.\n\nSeven eight nine.", "Short and whole."]
    data.write_text("".join(json.dumps({"text": said}) + "\n" for said in texts))
    wanted = [f"prepare.sources=[{{path: {data}}}]", "prepare.operators=[{kind: length, max: 3, over: chunk}]"]
    recipe = recipe_file.load(tiny.write_recipe(tmp_path / "r.yaml", data, tiny_base), wanted)
    found = plan.look(recipe, show=5)
    (way,) = found.ways
    assert (way.raw, way.changes[0].pieces) == (texts[0], ("One two three.", "Four five six.", "Seven eight nine."))
    assert "piece 2 of 3: Four five six." in shown(found)
    assert plan.as_json(found)["shown"][0]["changes"][0]["pieces"][2] == "Seven eight nine."


def test_what_is_said_of_repeated_rows_is_what_the_recipe_does_with_them(recipe: Recipe) -> None:
    assert "repeated rows are left out" in shown(plan.look(recipe))
    ignore = {"near_duplicates": recipe.prepare.near_duplicates.model_copy(update={"treatment": "ignore"})}
    keeping = recipe.prepare.model_copy(update={"duplicates": "keep", **ignore})
    found = shown(plan.look(recipe.model_copy(update={"prepare": keeping})))
    assert "repeated rows stay" in found
    assert "taken off" not in found


def test_the_time_holds_the_start_of_workers_where_there_are_any() -> None:
    assert estimate.elapsed(100, Local(workers=1)) == 100
    assert estimate.elapsed(100, Local(workers=4)) == estimate.START + 25
    assert estimate.elapsed(local.PATIENCE / 2, Local()) == local.PATIENCE / 2


def test_control_characters_of_the_data_never_reach_the_terminal(recipe: Recipe) -> None:
    assert "\x1b" not in shown(plan.look(recipe, show=20))


def test_what_is_learnt_is_told_by_colour_or_by_signs(recipe: Recipe) -> None:
    found = plan.look(recipe)
    bare, coloured = shown(found), shown(found, colours=True)
    assert "<|assistant|>«Go to bed at" in bare
    assert "<|end|>»" in bare
    assert "«" not in coloured
    assert "\x1b[32mGo to bed" in coloured


def joined(found: Sequence[Segment], *, learnt: bool) -> str:
    return "".join(segment.text for segment in found if segment.learnt == learnt)


def test_segments_make_up_the_example_and_part_what_is_learnt() -> None:
    rendering = renderer(tiny.tokenizer())
    ids, mask = rendering.example((Message("user", "Wie schläft man? 不安"), Message("assistant", "Atme ruhig aus.")))
    found = segments(rendering.tokenizer, ids, mask)
    assert joined(found, learnt=False) == "<|bos|><|user|>Wie schläft man? 不安<|end|><|assistant|>"
    assert joined(found, learnt=True) == "Atme ruhig aus.<|end|>"
    assert [segment.text for segment in found if segment.special] == [
        "<|bos|>", "<|user|>", "<|end|>", "<|assistant|>", "<|end|>",
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "jsonl", "jsonl.gz", "parquet"])
def test_the_rows_of_a_large_file_are_told_from_its_size(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "SMALL_BYTES", 1_000)
    pairs = [(f"How can I sleep, in week {n}?", f'Say "so" {n} times,\nand rest. ' * (1 + n % 7)) for n in range(9_000)]
    path = tmp_path / f"rows.{form}"
    lines = "".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in pairs)
    if form == "csv":
        tiny.write_pairs(path, pairs)
    elif form == "jsonl":
        path.write_text(lines)
    elif form == "jsonl.gz":
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        pl.DataFrame(pairs, schema=["question", "answer"], orient="row").write_parquet(path)
    found = sizes.size(sources.resolve(Source(path=str(path))), 100, ended=False)
    assert found.exact == (form == "parquet")
    assert found.rows == (9_000 if found.exact else pytest.approx(9_000, rel=0.05))
