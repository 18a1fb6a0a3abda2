from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, FalconConfig

from pakar import recipe
from pakar.errors import RecipeError
from pakar.models import base, configuration, intake

OWN = {
    "AutoConfig": "configuration_own.OwnConfig",
    "AutoModelForCausalLM": "modeling_own.OwnForCausalLM",
    "AutoTokenizer": [None, "tokenization_own.OwnTokenizer"],
}
"""As Falcon and Phi-3 come from the hub: their code's files are not fetched."""


@pytest.fixture
def model(tiny_base: Path, tmp_path: Path) -> Path:
    """A copy whose configuration names code of its own."""
    copy = Path(shutil.copytree(tiny_base, tmp_path / "model"))
    edit(copy, "config.json", auto_map=OWN)
    return copy


def edit(directory: Path, name: str, **changes: Any) -> None:
    """Set top-level keys of a JSON file."""
    path = directory / name
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | changes))


def plant(directory: Path, *names: str) -> Path:
    """Scripts that leave a trace when they are run; the trace's path."""
    canary = directory.parent / "canary"
    for name in names:
        (directory / f"{name}.py").write_text(f"import os; os.makedirs({str(canary)!r}, exist_ok=True)")
    return canary


def told(directory: Path) -> list[tuple[str, str]]:
    return [(one.key, one.expected) for one in intake.findings(directory)]


def test_a_built_in_architecture_that_names_absent_code_is_loaded_without_it_and_a_note_says_so(
    model: Path, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    canary = plant(model, "conftest", "modeling_llama", "tokenization")  # others than the ones named
    found = base.find(recipe.Model(base=str(model)))
    assert "names code of its own (auto_map in config.json), which is not used" in capsys.readouterr().err
    plain = base.BaseModel("plain", tiny_base)
    ids = torch.arange(8)[None]
    with torch.no_grad():
        assert torch.equal(found.load()(ids).logits, plain.load()(ids).logits)
    assert found.tokenizer()("a few words").input_ids == plain.tokenizer()("a few words").input_ids
    assert found.context_limit() == plain.context_limit()
    assert not canary.exists()


def test_no_library_sees_the_names_of_code_and_none_are_written_again(model: Path, tmp_path: Path) -> None:
    (model / "generation_config.json").unlink(missing_ok=True)  # loaders then go on to config.json
    found = base.find(recipe.Model(base=str(model)))
    loaded = found.load()
    assert not hasattr(loaded.config, "auto_map")
    loaded.save_pretrained(tmp_path / "saved")
    found.tokenizer().save_pretrained(str(tmp_path / "saved"))
    assert not [path.name for path in (tmp_path / "saved").glob("*.json") if "auto_map" in path.read_text()]
    assert intake.findings(tmp_path / "saved") == []


def test_the_configuration_is_the_one_that_the_library_reads_from_a_file_without_the_key(
    model: Path, tiny_base: Path
) -> None:
    own, plain = configuration.read(model), AutoConfig.from_pretrained(tiny_base)
    assert own.name_or_path == str(model)
    assert own.to_dict() | {"_name_or_path": ""} == plain.to_dict() | {"_name_or_path": ""}


def test_falcon_as_it_comes_from_the_hub_is_loaded(tiny_base: Path, tmp_path: Path) -> None:
    config = FalconConfig(vocab_size=320, hidden_size=32, num_hidden_layers=2, num_attention_heads=4)
    made: Any = AutoModelForCausalLM
    made.from_config(config).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_base / name, tmp_path)
    edit(tmp_path, "config.json", auto_map={"AutoConfig": "configuration_falcon.FalconConfig",
                                            "AutoModelForCausalLM": "modeling_falcon.FalconForCausalLM"})  # fmt: skip
    assert base.find(recipe.Model(base=str(tmp_path))).load().config.model_type == "falcon"


@pytest.mark.parametrize("name", ["configuration_own", "modeling_own", "tokenization_own"])
def test_named_code_that_lies_there_is_refused_and_never_run_even_past_the_check(model: Path, name: str) -> None:
    assert told(model) == []  # looked at before the file is there: it is looked at again
    canary = plant(model, name)
    with pytest.raises(RecipeError, match=rf"{name}\.py does not lie beside it"):
        base.find(recipe.Model(base=str(model)))
    unchecked = base.BaseModel("own", model)
    unchecked.tokenizer()
    unchecked.load()
    assert not canary.exists()


def test_a_link_that_leads_nowhere_yet_counts_as_a_file(model: Path) -> None:
    (model / "modeling_own.py").symlink_to(model / "later")
    assert told(model)[0][0] == "auto_map.AutoModelForCausalLM"


@pytest.mark.parametrize(
    "names",
    [
        {"AutoConfig": "someone/else--configuration_own.OwnConfig"},
        {"AutoConfig": "else--configuration_own.OwnConfig"},
        {"AutoTokenizer": ["someone/else--t.Slow", None]},
        {"AutoModel": "../modeling_own.Own"},
        {"AutoModel": "/tmp/modeling_own.Own"},
        {"AutoModel": "package.modeling_own.Own"},
        {"AutoModel": "Own"},
        {"AutoModel": ""},
        {"AutoModel": {"nested": "modeling_own.Own"}},
        {"AutoModel": 3},
        ["modeling_own.Own"],
        "modeling_own.Own",
        None,
    ],
)
def test_names_that_lead_elsewhere_or_are_none_are_refused(model: Path, names: object) -> None:
    canary = plant(model, "unrelated")
    edit(model, "config.json", auto_map=names)
    found = told(model)
    assert found
    assert all(key.startswith("auto_map") for key, _ in found)
    with pytest.raises(RecipeError, match="auto_map"):
        base.find(recipe.Model(base=str(model)))
    assert not canary.exists()


def test_an_architecture_that_is_not_built_in_is_refused_with_its_names(model: Path) -> None:
    edit(model, "config.json", model_type="own")
    assert {key for key, _ in told(model)} == {"auto_map", "model_type"}


def test_names_of_code_in_parts_of_a_configuration_are_refused(model: Path) -> None:
    edit(model, "config.json", text_config={"auto_map": OWN}, a=[{"auto_map": {}}])
    assert [key for key, _ in told(model)] == ["text_config.auto_map", "a.0.auto_map"]


@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json", "generation_config.json"])
def test_names_of_code_in_other_files_are_refused_and_never_run(model: Path, file: str) -> None:
    canary = plant(model, "tokenization_own", "custom_generate")
    edit(model, "config.json", auto_map={})
    edit(model, file, auto_map={"AutoTokenizer": [None, "tokenization_own.OwnTokenizer"]})
    assert [key for key, _ in told(model)] == ["auto_map"]
    base.BaseModel("own", model).tokenizer()
    base.BaseModel("own", model).load()
    assert not canary.exists()


def test_a_second_configuration_that_nobody_looked_at_is_not_read(model: Path) -> None:
    written = json.loads((model / "config.json").read_text())
    (model / "config.4.0.0.json").write_text(json.dumps(written | {"hidden_act": "relu", "rms_norm_eps": 0.5}))
    edit(model, "config.json", configuration_files=["config.4.0.0.json"])
    assert [key for key, _ in told(model)] == ["configuration_files"]
