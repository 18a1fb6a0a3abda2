from __future__ import annotations

import json
import re
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from pakar import chat, export, files, machine, recipe, recipe_file
from pakar import run as runs
from pakar.conversation import Message
from pakar.errors import QualityError, ResourceError, UsageError, UserError
from pakar.evaluate.stage import evaluate
from pakar.export import Request, card, request, weights
from pakar.export.gguf import architectures
from pakar.export.proof import Proof, alike
from pakar.export.weights import generation_config
from pakar.models import base as base_models
from pakar.models import merge, tuned
from pakar.models.merge import Tolerance
from pakar.models.prompt import Renderer
from pakar.run import Run
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


def test_the_merged_model_ends_answers_as_in_the_evaluation_and_leaves_open_how_they_are_drawn(
    merged: Path, lora: Trained
) -> None:
    config = files.read_json(merged / "generation_config.json")
    sampling = lora.run.recipe.evaluate.sampling
    assert config["eos_token_id"] == 2
    assert config["max_new_tokens"] == sampling.max_tokens
    assert config["do_sample"] is False
    assert "repetition_penalty" not in config
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
    with pytest.raises(QualityError, match="--as merged:float32"):
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
    with pytest.raises(ResourceError, match=r"(?s)needs 64 MiB.*only 1 MiB are free.*--as merged:bfloat16"):
        export.export(lora.run, Request("merged", None, tmp_path / "model"))


def test_too_little_memory_is_told_before_anything_is_computed(lora: Trained, qlora: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    weights = tiny.model().num_parameters()
    monkeypatch.setattr(machine, "free_memory", lambda: 4 * weights)
    export.export(lora.run, Request("merged", None, tmp_path / "fits"))
    for trained in (lora, qlora):
        monkeypatch.setattr(machine, "free_memory", lambda: 4 * weights - 1)
        with pytest.raises(ResourceError, match=r"(?s)merging needs.*--as adapter") as refusal:
            export.export(trained.run, Request("gguf", None, tmp_path / "model"))
        assert refusal.value.exit_code == 5
        assert ("in 4 bits" in str(refusal.value)) == (trained is qlora)
    export.export(lora.run, Request("adapter", None, tmp_path / "adapter"))  # nothing is merged


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("adapter", ("adapter", None)),
        ("merged", ("merged", None)),
        ("merged:bfloat16", ("merged", "bfloat16")),
        ("gguf:q8_0", ("gguf", "q8_0")),
    ],
)
def test_a_kind_may_carry_its_number_format(words: str, asked: tuple[str, str | None]) -> None:
    assert request.checked(words, None) == Request(*asked, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("onnx", "--as onnx: expected adapter, merged or gguf"),
        ("merged:int4", "int4 is no number format; expected one of float32"),
        ("merged:", "nothing is no number format"),
        ("merged:q8_0", "write `--as gguf:q8_0`"),
        ("adapter:float16", "write `--as adapter`"),
    ],
)
def test_words_that_do_not_go_together_are_told(words: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as refusal:
        request.checked(words, None)
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize("harm", ["weights", "template", "gone", "more"])
def test_a_model_whose_files_changed_since_the_training_is_not_handed_on(tmp_path: Path, lora: Trained, harm: str) -> None:  # fmt: skip
    run = copied(lora.run, tmp_path / "run")
    name = {"weights": "adapter_model.safetensors", "template": "chat_template.jinja", "gone": "tokenizer.json"}.get(harm, "model.safetensors")  # fmt: skip
    path = run.model_dir / name
    if harm == "weights":
        save_file({key: 5 * value for key, value in load_file(path).items()}, path, metadata={"format": "pt"})
    elif harm == "gone":
        path.unlink()
    else:
        path.write_text("changed")
    for use in (
        lambda: export.export(run, Request("adapter", None, tmp_path / "out")),
        lambda: evaluate(run),
        lambda: chat.of_run(str(run.directory), tmp_path, "tuned"),
    ):
        with pytest.raises(UserError, match=rf"not the one that was trained.*train/model/{re.escape(name)}"):
            use()
    assert not (tmp_path / "out").exists()


def test_a_system_prompt_that_changed_since_the_training_is_named(tmp_path: Path, lora: Trained) -> None:
    run = copied(lora.run, tmp_path / "run")
    model = run.recipe.model.model_copy(update={"system_prompt": "Answer briefly."})
    other = Run(run.directory, run.recipe.model_copy(update={"model": model}))
    with pytest.raises(UserError, match=r"model\.system_prompt.*'Answer kindly\.' then, 'Answer briefly\.' now"):
        export.export(other, Request("adapter", None, tmp_path / "out"))


def copied(run: Run, place: Path) -> Run:
    shutil.copytree(run.directory, place)
    return Run(place, run.recipe)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_weights_that_were_spoilt_while_they_were_saved_are_found_in_the_files(tmp_path: Path, request: pytest.FixtureRequest, method: str, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    trained: Trained = request.getfixturevalue(method)
    saved = PreTrainedModel.save_pretrained

    def spoilt(model: Any, *arguments: Any, **named: Any) -> None:
        with torch.no_grad():
            model.get_input_embeddings().weight[300] += 1  # of a token that no prompt has
        saved(model, *arguments, **named)

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", spoilt)
    with pytest.raises(QualityError, match=r"loaded again, does not hold.*embed_tokens"):
        export.export(trained.run, Request("merged", "float32", tmp_path / "model"))
    assert not list(tmp_path.iterdir())


def test_a_shard_that_is_missing_is_found(tmp_path: Path, lora: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "SHARD_SIZE", "20KB")
    done = export.export(lora.run, Request("merged", "float32", tmp_path / "whole"))
    assert len(list(done.directory.glob("*.safetensors"))) > 1
    saved = PreTrainedModel.save_pretrained

    def without_one(model: Any, to: str, **named: Any) -> None:
        saved(model, to, **named)
        index = files.read_json(Path(to) / "model.safetensors.index.json")
        lost = next(name for name in index["weight_map"] if "layers.1" in name)
        del index["weight_map"][lost]
        files.write_json(Path(to) / "model.safetensors.index.json", index)
        for path in Path(to).glob("*.safetensors"):
            save_file(
                {name: value for name, value in load_file(path).items() if name != lost},
                path,
                metadata={"format": "pt"},
            )

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", without_one)
    with pytest.raises(QualityError, match=r"does not hold the weights that were written: model\.layers\.1"):
        export.export(lora.run, Request("merged", "float32", tmp_path / "model"))


def test_a_gguf_file_with_other_rows_or_other_settings_is_found(tmp_path: Path, lora: Trained, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    known: Any = architectures.SUPPORTED
    monkeypatch.setitem(known, "llama", known["llama"]._replace(laid_out=lambda _name, tensor, _config: tensor))
    with pytest.raises(QualityError, match=r"read back, does not hold the model: blk\.0\.attn_q"):
        export.export(lora.run, Request("gguf", "float32", tmp_path / "model"))
    monkeypatch.undo()
    settings = known["llama"].settings
    monkeypatch.setitem(known, "llama", known["llama"]._replace(settings=lambda c: settings(c) | {"rope.freq_base": 50.0}))  # fmt: skip
    with pytest.raises(QualityError, match="transformers computes something else"):
        export.export(lora.run, Request("gguf", "float32", tmp_path / "model"))
    assert not list(tmp_path.iterdir())


def test_the_proof_of_a_gguf_file_is_read_back_from_it(all_three: list[Path]) -> None:
    proofs = {files.read_json(each / "pakar.json")["export"]: files.read_json(each / "pakar.json")["proof"] for each in all_three}  # fmt: skip
    assert proofs["gguf"]["reread"]["divergence"] < 1e-6
    assert proofs["merged"]["reread"] is proofs["adapter"]["reread"] is None


@pytest.mark.parametrize("place", [".", "link", "empty"])
def test_an_empty_directory_is_filled_and_stays_the_one_that_it_was(tmp_path: Path, lora: Trained, monkeypatch: pytest.MonkeyPatch, place: str) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    monkeypatch.chdir(tmp_path / "empty" if place == "." else tmp_path)
    before = (tmp_path / "empty").stat().st_ino
    export.export(lora.run, Request("adapter", None, Path(place)))
    assert (tmp_path / "empty").stat().st_ino == before
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "empty" / "adapter_config.json").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "link"}
    assert not list((tmp_path / "empty").glob(".*"))


@pytest.mark.parametrize("place", ["rows.csv/x", "n" * 5000, "loop"])
def test_a_place_that_cannot_be_written_is_told_in_words(tmp_path: Path, lora: Trained, place: str) -> None:
    (tmp_path / "rows.csv").write_text("a")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UserError, match=r"cannot be used|cannot write"):
        export.export(lora.run, Request("adapter", None, tmp_path / place))


@pytest.mark.parametrize(
    ("header", "licence"),
    [
        ("license: mit", "mit"),
        ("license:\n- mit\n- apache-2.0", "mit, apache-2.0"),
        ("license: [broken", None),
        ("license: |\n  none\n\n  ## Free for all", None),
        ("license: {name: mit}", None),
        ("license: []", None),
        ("language: en", None),
        ("a: &a [x, x]\nlicense: *a", None),
        (f"a: {'x' * 70_000}\nlicense: mit", None),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_only_a_licences_name_is_taken_from_the_bases_card(tmp_path: Path, header: str, licence: str | None, line_end: str) -> None:  # fmt: skip
    (tmp_path / "README.md").write_bytes(f"---\n{header}\n---\n".replace("\n", line_end).encode())
    assert card.base_licence(base_models.BaseModel("x", tmp_path)) == licence


def test_the_licence_of_the_base_is_passed_on() -> None:
    assert card.base_licence(base_models.find(recipe.Model())) == "cc-by-sa-4.0"


def test_references_that_unfold_into_gigabytes_are_not_followed(tmp_path: Path) -> None:
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))
    (tmp_path / "README.md").write_text(f"---\na0: &a0 [x]\n{levels}license: *a29\n---\n")
    assert card.base_licence(base_models.BaseModel("x", tmp_path)) is None


def test_the_words_of_a_card_stay_as_they_are(tmp_path: Path, lora: Trained) -> None:
    run = copied(lora.run, tmp_path / "run")
    said = f"Ask only about {tmp_path}/guide, <https://example.org{lora.base.parent}/list> and /tmp; and/or nothing."
    run.model_card_file.write_text(f"---\nname: x\n---\n# Card\n\n{said}\n")
    base = base_models.find(run.recipe.model)
    proved = Proof(3, None, None, None, 3)
    assert said in card.card(run, base, "adapter", None, proved)


def test_prompts_that_other_programs_tokenise_otherwise_are_counted(lora: Trained) -> None:
    prompts = tuned.prompt_renderer(lora.run.model_dir, SYSTEM_PROMPT)
    talks = [(Message("user", "How?"), Message("assistant", "So."))]
    assert alike(prompts, talks) == 1
    marked = [(Message("user", "what <|end|> means"), Message("assistant", "The end."))]
    assert alike(prompts, marked) == 0  # a mark in a content is text for Pakar, and an order elsewhere


@pytest.mark.slow
def test_the_command_exports_and_says_what_it_would_upload(lora: Trained, tmp_path: Path) -> None:
    elsewhere = ["--runs-dir", str(lora.run.directory.parent)]
    done = pakar("export", "tiny", "--as", "merged:float32", "--to", tmp_path / "model", "--push", "me/mine", "--dry-run", "--json", *elsewhere, cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["pushed"] is None
    assert told["dtype"] == "float32"
    assert {file["path"] for file in told["files"]} >= {"README.md", "model.safetensors", "config.json", "pakar.json"}
    for file in told["files"]:
        path = tmp_path / "model" / file["path"]
        assert (path.stat().st_size, files.sha256(path)) == (file["bytes"], file["sha256"])
    again = pakar("export", "tiny", "--to", tmp_path / "model", *elsewhere, cwd=tmp_path)
    assert again.returncode == 2
    assert "is not empty" in again.stderr
    assert pakar("export", "tiny", "--dry-run", *elsewhere, cwd=tmp_path).returncode == 2
    assert pakar("export", "tiny", "--push", "me", *elsewhere, cwd=tmp_path).returncode == 2
    nobody = pakar("export", "tiny", "--push", "me/mine", "--to", "new", "-q", *elsewhere, cwd=tmp_path)
    assert nobody.returncode == 1, nobody.stderr
    assert "nothing was exported" in nobody.stderr
    assert not (tmp_path / "new").exists()
