from __future__ import annotations

import json
import re
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
        "line 9: prepare.sources.0.shape has kind 'pair': expected 'auto', 'pairs', 'messages', 'intents', 'squad', 'text', 'turns', 'any'; did you mean pairs?",
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
        (MINIMAL + "train: 3\n", "line 4: train = 3: expected a section with keys such as method, epochs, batch_size"),
        (MINIMAL + "train: {method: lora}\n", "line 4: train.method = 'lora': expected a section with keys such as `kind: lora`"),
        (MINIMAL + "train: {method: {rank: 3}}\n", "line 4: train.method: `kind` is missing; expected one of full, lora, qlora"),
        (MINIMAL + "train: {method: {kind: }}\n", "line 4: train.method has kind null: expected 'full', 'lora', 'qlora'"),
        (MINIMAL + "train: {method: {kind: lora, targets: 3}}\n", "targets = 3: expected 'all-linear' or a list"),
        (MINIMAL + "train: {method: {kind: lora, targets: []}}\n", "line 4: train.method.targets"),
        (MINIMAL + "train: {method: {kind: lora, targets: [q_proj, '']}}\n", "line 4: train.method.targets"),
        (MINIMAL + "model: {revision: 123}\n", "line 4: model.revision = 123: expected text; put it in quotes"),
        (MINIMAL + "? [a]\n: b\n", "line 4: recipe: a key must be a single word"),
        ("name: q\nprepare:\n", "line 2: prepare.sources: is missing"),
        ("name: q\nprepare:\n  sources:\n", "line 3: prepare.sources is empty: expected a list"),
        ("name: q\nprepare: {sources: x.csv}\n", "line 2: prepare.sources = 'x.csv': expected a list"),
        ("name: q\nprepare: {sources: [x.csv]}\n", "sources.0 = 'x.csv': expected a section with keys such as path, format"),
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
        ("prepare.sources.0.path.x=3", "it has no keys below it"),
        ("prepare.sources.²=x", "from 0 to 0"),
        ("prepare.sources." + "9" * 5000 + "=x", "from 0 to 0"),
        ("prepare.clean=&a [*a]", "--set: prepare.clean.0: aliases are not allowed"),
        ("name=!foo bar", "--set: name: the tag !foo is not supported"),
        ("name=" + "[" * 3000, "not a YAML value"),
        ("train.epochs=true", "--set: train.epochs = true: expected a whole number"),
        (
            "train.method.kind=loar",
            "--set: train.method has kind 'loar': expected 'full', 'lora', 'qlora'; did you mean lora?",
        ),
        ("prepare.sources.0.shape.kind=pairs", "--set: prepare.sources.0.shape.question: is missing"),
        ("prepare.split.test=0.95", "--set: prepare.split: validation + test = 1.05"),
    ],
)
def test_a_bad_override_is_explained(tmp_path: Path, override: str, expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, MINIMAL, override)
    assert expected in str(caught.value)


def test_yaml_cannot_construct_objects_or_explode(tmp_path: Path) -> None:
    with pytest.raises(RecipeError):
        load(tmp_path, "name: !!python/object/apply:os.system ['true']\n" + MINIMAL[8:])
    levels = "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    found = problems(tmp_path, "a0: &a0 [x, x]\n" + levels + MINIMAL)
    assert found[0] == "line 2: a1.0: aliases are not allowed; write the value out"
    assert len(found) == 78


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("clean: &c [*c]\n", "line 4: clean.0: aliases are not allowed; write the value out"),
        ("seed: &s 3\nmodel: {base: *s}\n", "line 5: model.base: aliases are not allowed; write the value out"),
        ("seed: &s 3\n*s : 3\n", "line 5: 3: aliases are not allowed; write the value out"),
        ("train: &t {epochs: 2}\nevaluate:\n  <<: *t\n", "line 6: evaluate.<<: merge keys are not supported; write the keys out"),
        ("seed: !foo 3\n", "line 4: seed: the tag !foo is not supported; leave it out"),
        ("seed: !!binary aGk=\n", "line 4: seed: the tag tag:yaml.org,2002:binary is not supported; leave it out"),
        ("seed: !!set {a}\n", "line 4: seed: the tag tag:yaml.org,2002:set is not supported; leave it out"),
        ("seed: !!bool maybe\n", "line 4: seed: 'maybe' cannot be read as bool"),
        ("seed: !!int ''\n", "line 4: seed: '' cannot be read as int"),
        ("seed: 0x" + "f" * 5000, "line 4: seed: this number has too many digits"),
        ("seed: 1" + ":1" * 500, "line 4: seed = '" + "1:" * 38 + "...: expected a whole number"),
        ("seed: 2020-13-45", "line 4: seed = '2020-13-45': expected a whole number"),
    ],
)  # fmt: skip
def test_yaml_that_a_recipe_does_not_need_is_refused_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    assert problems(tmp_path, MINIMAL + text) == [expected]


@pytest.mark.parametrize("text", ["[" * 3000, "{a: " * 3000, "\n" + "- " * 3000, "[\n" * 300_000])
def test_deep_nesting_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    assert re.fullmatch(r"line \d+, column \d+: nested more than 30 deep", problems(tmp_path, f"{MINIMAL}x: {text}")[0])


def test_dates_are_text(tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL.replace("q", "2020-13-45")).name == "2020-13-45"
    assert load(tmp_path, MINIMAL, "name=2020-10-11").name == "2020-10-11"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seed=true", "--set: seed = true: expected a whole number"),
        ("seed='3'", "--set: seed = '3': expected a whole number without quotes"),
        ("seed=3.0", "--set: seed = 3.0: expected a whole number"),
        ("train.epochs=", "--set: train.epochs is empty: expected a whole number"),
        ("train.learning_rate='1'", "--set: train.learning_rate = '1': expected a number without quotes"),
        ("train.learning_rate=yes", "--set: train.learning_rate = true: expected a number"),
        ("train.learning_rate=1e3", "--set: train.learning_rate = 1000.0: expected less than or equal to 1"),
        ("train.optimizer.weight_decay=1e999", "--set: train.optimizer.weight_decay = inf: expected a finite number"),
        ("evaluate.target_words=[true, 3]", "--set: evaluate.target_words.0 = true: expected a whole number"),
        ("evaluate.target_words=[3]", "--set: evaluate.target_words: expected 2 entries"),
        ("evaluate.target_words=[1, 2, 3]", "--set: evaluate.target_words = [1, 2, 3]: expected at most 2 entries"),
        ("prepare.split.test=true", "--set: prepare.split.test = true: expected a number"),
    ],
)
def test_numbers_are_strict(tmp_path: Path, override: str, expected: str) -> None:
    assert problems(tmp_path, MINIMAL, override) == [expected]


def test_numbers_may_be_whole_or_have_an_exponent_where_fractions_are_allowed(tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL + "train: {learning_rate: 1e-3, max_gradient_norm: 1}\n").train.learning_rate == 1e-3
    assert load(tmp_path, MINIMAL, "train.learning_rate=2.E-5").train.learning_rate == 2e-5
    split = load(tmp_path, MINIMAL, "prepare.split={test: 20, validation: 1e-1}").prepare.split
    assert (repr(split.test), split.validation) == ("20", 0.1)


def test_an_empty_section_means_its_defaults(tmp_path: Path) -> None:
    empty = "name: q\nmodel:\nprepare:\n  sources: [{path: a.csv, shape: }]\n  split:\ntrain:\n  method:\nevaluate:\n"
    assert load(tmp_path, empty) == load(tmp_path, MINIMAL)
    assert load(tmp_path, empty, "train.epochs=9").train.epochs == 9


@pytest.mark.parametrize(
    ("text", "override", "expected"),
    [
        (MINIMAL, "train.epochs=0", "mend the --set value."),
        (MINIMAL + "sede: 1\n", "train.epochs=0", "mend the file and the --set value, then `pakar check "),
        (MINIMAL + "sede: 1\n", "train.epochs=1", "mend the file, then `pakar check "),
    ],
)
def test_what_is_to_be_mended_is_named(tmp_path: Path, text: str, override: str, expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, text, override)
    assert caught.value.next_step.startswith(expected)


def test_a_kind_in_the_file_is_not_blamed_when_set_is_wrong(tmp_path: Path) -> None:
    text = MINIMAL + "train:\n  method:\n    kind: lora\n"
    expected = "train.method has kind 'loar': expected 'full', 'lora', 'qlora'; did you mean lora?"
    assert problems(tmp_path, text, "train.method.kind=loar") == [f"--set: {expected}"]
    assert problems(tmp_path, text.replace("lora", "loar"), "train.method.rank=3") == [f"line 6: {expected}"]


def test_values_below_an_override_are_no_longer_blamed_on_the_file(tmp_path: Path) -> None:
    found = problems(tmp_path, MINIMAL, "prepare.sources=[{pth: a}]")
    assert all(problem.startswith("--set: ") for problem in found)


def test_an_entry_without_keys_takes_none_from_overrides(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="is a single value"):
        load(tmp_path, "name: q\nprepare: {sources: [a.csv]}\n", "prepare.sources.0.path=x")
    with pytest.raises(RecipeError, match=r"prepare\.sources has no entries"):
        load(tmp_path, "name: q\nprepare: {sources: []}\n", "prepare.sources.0.path=x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{kind: pair}", "shape has kind 'pair': expected"),
        ("pairs", "shape = 'pairs': expected a section with keys such as `kind: pairs`"),
        ("{kind: text, column: &a [*a]}", "shape.column.0: aliases are not allowed"),
        ("[", "--shape: '[' is not a YAML value"),
    ],
)
def test_a_bad_shape_option_is_explained(text: str, expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_file.shape(text)
    assert expected in caught.value.what


def test_a_shape_option_is_read() -> None:
    assert recipe_file.shape("{kind: pairs, question: q, answer: a}").kind == "pairs"


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
def test_an_unreadable_recipe_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(RecipeError, match=f"cannot be read: {error.strerror}"):
        load(tmp_path, MINIMAL)


def test_relative_paths_start_at_the_recipe_file(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    loaded = load(tmp_path, MINIMAL + "model: {base: ./model}\n")
    assert loaded.model.base == str(tmp_path / "model")
    assert loaded.prepare.sources[0].path == str(tmp_path / "a.csv")


def test_the_home_directory_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    loaded = load(tmp_path, MINIMAL + "model: {base: ~/m}\n", "prepare.sources.0.path=~/a.csv")
    assert loaded.prepare.sources[0].path == str(tmp_path / "home" / "a.csv")
    assert loaded.model.base == str(tmp_path / "home" / "m")


@pytest.mark.parametrize("name", ["~no-such-user-here/a.csv", "a\\0b"])
def test_a_name_that_cannot_be_a_path_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecipeError, match="cannot be a path"):
        load(tmp_path, MINIMAL.replace("a.csv", f'"{name}"'))


def test_a_model_name_too_long_for_a_file_is_left_to_the_hub(tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL, "model.base=" + "a" * 300).model.base == "a" * 300


def test_the_written_recipe_reads_back_equal(tmp_path: Path) -> None:
    loaded = load(
        tmp_path, MINIMAL.replace("}]", "}, {path: b.csv}]"), "train.learning_rate=1e-5", "prepare.split.test=9"
    )
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


ARCHITECTURE = MINIMAL + "model: {architecture: {kind: llama, width: 64, heads: 4}}\ntrain: {method: {kind: full}}\n"


def test_an_architecture_takes_the_place_of_a_base_also_when_written_and_read_again(tmp_path: Path) -> None:
    loaded = load(tmp_path, ARCHITECTURE, "model.architecture.layers=3")
    assert loaded.model.base == "made"
    assert loaded.model.architecture is not None
    assert (loaded.model.architecture.layers, loaded.model.architecture.inner_width) == (3, 192)
    assert load(tmp_path, recipe_file.dump(loaded)) == loaded


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("train.batch_size=0", "train.batch_size"),
        ("train.batch_size={tokens: 2}", "train.batch_size.tokens = 2: expected greater than or equal to 16"),
        ("train.batch_size={token: 20}", "unknown key; did you mean `tokens`?"),
        ("train.order=text-then-conversations", "write `schedule: wsd`"),
        (
            "train={method: {kind: full}, schedule: wsd, order: text-then-conversations}",
            "write `batch_size: {tokens: N}`",
        ),
        ("model.base=gpt2", "base and architecture exclude each other"),
        ("model.architecture.heads=5", "width = 64 cannot be parted among heads = 5"),
        ("model.architecture.key_heads=3", "heads = 4 is no multiple of key_heads = 3"),
        ("train.method.kind=lora", "those of model.architecture are random"),
        ("model={base: made}", "write `architecture: {kind: llama}`"),
        ("model.architecture.kind=gpt", "expected 'llama'"),
    ],
)
def test_an_architecture_that_cannot_be_is_told(tmp_path: Path, override: str, told: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(told)):
        load(tmp_path, ARCHITECTURE, override)
