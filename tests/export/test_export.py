from __future__ import annotations

import json
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from pakar import chat, export, files, recipe, recipe_file
from pakar import run as runs
from pakar.conversation import Message
from pakar.errors import QualityError, ResourceError, UserError
from pakar.export import Request, card, request
from pakar.export.proof import alike
from pakar.export.writing import generation_config
from pakar.models import base as base_models
from pakar.models import merge, tuned
from pakar.models.merge import Tolerance
from pakar.models.prompt import Renderer
from tests import tiny
from tests.command import pakar
from tests.export.conftest import SYSTEM_PROMPT, Trained


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory, lora: Trained) -> Path:
    directory = tmp_path_factory.mktemp("merged") / "model"
    export.export(lora.run, Request("merged", None, directory))
    return directory


@pytest.fixture(scope="module")
def all_three(tmp_path_factory: pytest.TempPathFactory, lora: Trained, qlora: Trained) -> list[Path]:
    place = tmp_path_factory.mktemp("all")
    made = [(each, name) for each in (lora, qlora) for name in export.FORMATS]
    return [export.export(each.run, Request(name, None, place / str(n))).directory for n, (each, name) in enumerate(made)]  # fmt: skip


def text_files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.suffix in (".json", ".md", ".jinja"))


def test_nothing_exported_is_pickled_or_tells_a_path_of_this_machine(all_three: list[Path], lora: Trained) -> None:
    for directory in all_three:
        assert {path.suffix for path in directory.iterdir()} <= {".json", ".md", ".jinja", ".safetensors", ".gguf"}
        for path in text_files(directory):
            told = path.read_text(encoding="utf-8")
            assert str(lora.run.directory.parent) not in told
            assert str(lora.base.parent) not in told
            assert str(Path.home()) not in told or Path.home() == Path("/")
        for path in directory.glob("*.safetensors"):
            with safe_open(path, "pt") as opened:
                assert "/" not in json.dumps(opened.metadata())


def test_the_card_has_a_header_the_proof_and_what_the_model_comes_from(all_three: list[Path]) -> None:
    for directory in all_three:
        whole = (directory / "README.md").read_text(encoding="utf-8")
        header = yaml.safe_load(whole.split("---\n")[1])
        assert header["pipeline_tag"] == "text-generation"
        assert "pakar" in header["tags"]
        for told in (
            "## How to load it",
            "## Where it comes from",
            "Fingerprint of the base model",
            f"> {SYSTEM_PROMPT}",
        ):
            assert told in whole
        known = files.read_json(directory / "pakar.json")
        assert known["proof"]["examples"] > 3
        assert len(known["prompt_fingerprint"]) == len(known["base_fingerprint"]) == 64


def test_a_qlora_adapter_says_that_it_needs_four_bits(all_three: list[Path]) -> None:
    kinds = {(files.read_json(d / "pakar.json")["method"]["kind"], files.read_json(d / "pakar.json")["export"]): d for d in all_three}  # fmt: skip
    assert "BitsAndBytesConfig" in (kinds["qlora", "adapter"] / "README.md").read_text()
    assert "BitsAndBytesConfig" not in (kinds["lora", "adapter"] / "README.md").read_text()


def test_the_merged_model_ends_answers_and_draws_them_as_in_the_evaluation(merged: Path, lora: Trained) -> None:
    config = files.read_json(merged / "generation_config.json")
    sampling = lora.run.recipe.evaluate.sampling
    assert config["eos_token_id"] == 2
    assert config["max_new_tokens"] == sampling.max_tokens
    assert config["do_sample"] is False
    tokenizer: Any = AutoTokenizer.from_pretrained(merged)
    assert tokenizer.chat_template == tiny.TEMPLATE


def test_a_mark_that_ends_turns_stops_generation_beside_the_end_of_texts(lora: Trained) -> None:
    prompts = tuned.prompt_renderer(lora.run.model_dir, SYSTEM_PROMPT)
    other = Renderer(prompts.tokenizer, end_id=5)
    assert generation_config(lora.run, other).eos_token_id == [5, 2]


def test_all_trained_weights_are_exported_merged_too(tmp_path: Path, full: Trained) -> None:
    done = export.export(full.run, Request("merged", "float32", tmp_path / "model"))
    assert done.proof.merged is None
    assert done.proof.stored is not None
    assert done.proof.stored.largest < 1e-5
    exported: Any = AutoModelForCausalLM.from_pretrained(done.directory)
    trained: Any = AutoModelForCausalLM.from_pretrained(full.run.model_dir)
    assert all(torch.equal(a, b) for a, b in zip(exported.parameters(), trained.parameters(), strict=True))
    with pytest.raises(UserError, match=r"all weights were trained.*no adapter"):
        export.export(full.run, Request("adapter", None, tmp_path / "adapter"))


def test_evaluation_and_export_judge_the_same_weights(tmp_path: Path, qlora: Trained) -> None:
    done = export.export(qlora.run, Request("merged", "float32", tmp_path / "model"))
    exported: Any = AutoModelForCausalLM.from_pretrained(done.directory)
    loaded = tuned.load(qlora.run.model_dir, base_models.find(qlora.run.recipe.model))
    assert all(torch.equal(a, b) for a, b in zip(exported.parameters(), loaded.parameters(), strict=True))


def test_above_the_tolerance_nothing_is_written(tmp_path: Path, lora: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(merge.TOLERANCES, "bfloat16", Tolerance(agreement=1.0, divergence=1e-12))
    with pytest.raises(QualityError, match="--dtype float32"):
        export.export(lora.run, Request("merged", "bfloat16", tmp_path / "model"))
    assert not list(tmp_path.iterdir())


def test_a_changed_template_is_refused_as_a_base_and_in_chat(tmp_path: Path, merged: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(merged, changed)
    section = recipe.Model(base=str(changed))
    assert base_models.find(section).directory == changed
    (changed / "chat_template.jinja").write_text(tiny.TEMPLATE.replace("<|user|>", "U:").replace("'<|' +", "'<' +"))
    for use in (lambda: base_models.find(section), lambda: chat.of_base(str(changed))):
        with pytest.raises(UserError, match=r"chat template or the tokenizer.*differs"):
            use()


def test_chat_with_an_export_puts_its_system_prompt_first(merged: Path) -> None:
    [speaker] = chat.of_base(str(merged))
    engine: Any = speaker.engine
    assert engine._renderer.system_prompt == SYSTEM_PROMPT


def test_an_export_trains_again(tmp_path: Path, merged: Path) -> None:
    base = base_models.find(recipe.Model(base=str(merged)))
    assert base.load().num_parameters() == tiny.model().num_parameters()


def test_a_directory_with_something_in_it_is_left_alone(tmp_path: Path, lora: Trained) -> None:
    (tmp_path / "mine.txt").write_text("dear")
    with pytest.raises(UserError, match=r"is not empty.*mine\.txt"):
        export.export(lora.run, Request("adapter", None, tmp_path))
    with pytest.raises(UserError, match="is a file"):
        export.export(lora.run, Request("adapter", None, tmp_path / "mine.txt"))
    assert (tmp_path / "mine.txt").read_text() == "dear"


def test_an_unfinished_training_is_not_exported(tmp_path: Path, tiny_base: Path) -> None:
    data = tiny.write_pairs(tmp_path / "rows.csv", tiny.pairs(5))
    loaded = recipe_file.load(tiny.write_recipe(tmp_path / "recipe.yaml", data, tiny_base))
    with pytest.raises(UserError, match="train has not finished yet"):
        export.export(runs.begin(loaded, tmp_path / "runs"), Request())


def test_a_full_disk_is_told_before_anything_is_computed(lora: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(request.shutil, "disk_usage", lambda _: usage(2**30, 2**30, 2**20))  # type: ignore[attr-defined]
    with pytest.raises(ResourceError, match=r"(?s)needs 64 MiB.*only 1 MiB are free.*--dtype"):
        export.export(lora.run, Request("merged", None, tmp_path / "model"))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("onnx", "auto"), "--format onnx: expected one of adapter, merged, gguf"),
        (("merged", "int4"), "--dtype int4: expected auto or one of"),
        (("merged", "q8_0"), "add --format gguf"),
        (("adapter", "float16"), "leave --dtype out"),
    ],
)
def test_words_that_do_not_go_together_are_told(words: tuple[str, str], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as refusal:
        request.checked(*words, None)
    assert refusal.value.exit_code == 2


def test_the_licence_of_the_base_is_passed_on(tmp_path: Path) -> None:
    assert card.base_licence(base_models.find(recipe.Model())) == "cc-by-sa-4.0"
    (tmp_path / "README.md").write_text("---\nlicense: [broken\n---\n")
    assert card.base_licence(base_models.BaseModel("x", tmp_path)) is None


def test_prompts_that_other_programs_tokenise_otherwise_are_counted(lora: Trained) -> None:
    prompts = tuned.prompt_renderer(lora.run.model_dir, SYSTEM_PROMPT)
    talks = [(Message("user", "How?"), Message("assistant", "So."))]
    assert alike(prompts, talks) == 1
    marked = [(Message("user", "what <|end|> means"), Message("assistant", "The end."))]
    assert alike(prompts, marked) == 0  # a mark in a content is text for Pakar, and an order elsewhere


@pytest.mark.slow
def test_the_command_exports_and_says_what_it_would_upload(lora: Trained, tmp_path: Path) -> None:
    elsewhere = ["--runs-dir", str(lora.run.directory.parent)]
    done = pakar("export", "tiny", "--to", tmp_path / "model", "--push", "me/mine", "--dry-run", "--json", *elsewhere, cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["pushed"] is None
    assert {file["path"] for file in told["files"]} >= {"README.md", "model.safetensors", "config.json", "pakar.json"}
    for file in told["files"]:
        path = tmp_path / "model" / file["path"]
        assert (path.stat().st_size, files.sha256(path)) == (file["bytes"], file["sha256"])
    again = pakar("export", "tiny", "--to", tmp_path / "model", *elsewhere, cwd=tmp_path)
    assert again.returncode == 1
    assert "is not empty" in again.stderr
    assert pakar("export", "tiny", "--dry-run", *elsewhere, cwd=tmp_path).returncode == 2
    assert pakar("export", "tiny", "--push", "me", *elsewhere, cwd=tmp_path).returncode != 0
