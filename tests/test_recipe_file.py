from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from pakar import recipe_file
from pakar.errors import RecipeError
from pakar.recipe import Recipe

MINIMAL = "name: q\nprepare:\n  sources: [{path: a.csv}]\n"
ROOT = Path(__file__).parent.parent


def load(tmp_path: Path, text: str, *overrides: str) -> Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return recipe_file.load(path, overrides)


def problems(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, text, *overrides)
    return [line.strip() for line in caught.value.what.splitlines()[1:]]


def test_all_problems_are_told_at_once_each_with_its_line(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "name: q\nsede: 3\ntrain:\n  method: {kind: lora, rnak: 2, rank: -1}\n  epochs: 0\n"
        "prepare:\n  sources:\n    - path: a.csv\n      shape: {kind: pair, question: q}\n    - pth: b\n",
    )
    assert found == [
        "line 2: sede: unknown key; did you mean `seed`?",
        "line 4: train.method.rank = -1: expected greater than or equal to 1",
        "line 4: train.method.rnak: unknown key; did you mean `rank`?",
        "line 5: train.epochs = 0: expected greater than or equal to 1",
        "line 9: prepare.sources.0.shape has kind 'pair': expected 'auto', 'pairs', 'messages', 'intents', 'text'; did you mean pairs?",
        "line 10: prepare.sources.1.path: is missing and has no default",
        "line 10: prepare.sources.1.pth: unknown key; did you mean `path`?",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: [1, 2\n", "is not valid YAML"),
        ("- a\n- b\n", "holds no settings"),
        ("", "holds no settings"),
        (MINIMAL + "name: again\n", "line 4: name: this key stands twice"),
        (MINIMAL + "evaluate: {target_words: [50, 20]}\n", "runs backwards"),
        (MINIMAL + "train:\n", "line 4: train"),
        ("name: a b\nprepare: {sources: [{path: x}]}\n", "line 1: name = 'a b': expected"),
        ("name: q\nprepare: {sources: []}\n", "line 2: prepare.sources"),
        ("name: q\nprepare: {sources: [{path: x}], split: {test: 0.6, validation: 0.6}}\n", "leaves nothing to train on"),
        ("name: q\nprepare: {sources: [{path: x}], split: {test: 2.5}}\n", "neither a share (below 1) nor a whole number"),
    ],
)  # fmt: skip
def test_a_bad_file_is_explained(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(RecipeError, match=r"(?s).*") as caught:
        load(tmp_path, text)
    assert expected in str(caught.value)


def test_a_missing_recipe_names_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "quickstart.yaml").write_text(MINIMAL)
    with pytest.raises(RecipeError, match=r"did you mean .*quickstart\.yaml"):
        recipe_file.load(tmp_path / "quikstart.yaml")


def test_a_data_file_given_as_a_recipe_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"q,a\n" * 300_000)
    with pytest.raises(RecipeError, match="Is it a data file"):
        recipe_file.load(path)


def test_overrides_reach_nested_values_and_list_entries(tmp_path: Path) -> None:
    loaded = load(tmp_path, MINIMAL, "train.epochs=9", "prepare.sources.0.path=b.csv", "model.base=gpt2")
    assert loaded.train.epochs == 9
    assert loaded.prepare.sources[0].path == str(tmp_path / "b.csv")
    assert loaded.model.base == "gpt2"


def test_changing_a_kind_drops_the_neighbours_it_does_not_know(tmp_path: Path) -> None:
    text = MINIMAL + "train:\n  method: {kind: lora, rank: 8}\n"
    assert load(tmp_path, text, "train.method.kind=full").train.method.kind == "full"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.epochs", "not of the form key=value"),
        ("train.epohcs=3", "did you mean `epochs`"),
        ("seed=[1,", "not a YAML value"),
        ("prepare.sources.4.path=x", "from 0 to 0"),
        ("name.x=3", "it has no keys below it"),
    ],
)
def test_a_bad_override_is_explained(tmp_path: Path, override: str, expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, MINIMAL, override)
    assert expected in str(caught.value)


def test_yaml_cannot_construct_objects_or_explode(tmp_path: Path) -> None:
    with pytest.raises(RecipeError):
        load(tmp_path, "name: !!python/object/apply:os.system ['true']\n" + MINIMAL[8:])
    bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"
    with pytest.raises(RecipeError):
        load(tmp_path, bomb + MINIMAL)


def test_relative_paths_start_at_the_recipe_file(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    loaded = load(tmp_path, MINIMAL + "model: {base: ./model}\n")
    assert loaded.model.base == str(tmp_path / "model")
    assert loaded.prepare.sources[0].path == str(tmp_path / "a.csv")


def test_the_written_recipe_reads_back_equal(tmp_path: Path) -> None:
    loaded = load(tmp_path, MINIMAL)
    assert load(tmp_path, recipe_file.dump(loaded)) == loaded


def test_every_field_of_the_schema_is_explained() -> None:
    schema = json.loads(recipe_file.json_schema())
    plain = [
        f"{name}.{field}"
        for name, section in {**schema["$defs"], "Recipe": schema}.items()
        for field, described in section.get("properties", {}).items()
        if "description" not in described and "$ref" not in described and field != "kind"
    ]
    assert plain == []


def test_bundled_recipes_are_valid() -> None:
    recipes = sorted((ROOT / "recipes").glob("*.yaml"))
    assert recipes
    for path in recipes:
        assert recipe_file.load(path).name
        assert yaml.safe_load(path.read_text(encoding="utf-8"))
