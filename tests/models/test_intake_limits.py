"""Whatever a model's files say, looking at them takes little time and memory, and what passes takes little of a library's."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any

import pytest

from pakar import recipe
from pakar.errors import RecipeError, UserError
from pakar.models import intake, origin
from pakar.models.architecture import architecture
from pakar.models.intake import chat, finding, steps, weights


@pytest.fixture
def model(tiny_base: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(tiny_base, tmp_path / "model"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def told(directory: Path) -> str:
    return "\n".join(map(str, intake.findings(directory)))


# Numbers and lengths of config.json


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"num_labels": 2**31}, "num_labels"),
        ({"num_labels": 2**16 + 1}, "num_labels"),
        ({"id2label": {str(n): "x" for n in range(2**16 + 1)}}, "id2label"),
        ({"label2id": {str(n): n for n in range(2**16 + 1)}}, "label2id"),
        ({"nobody_knows_this": 2**20 + 1}, "nobody_knows_this"),
        ({"nobody_knows_this": -(2**40)}, "nobody_knows_this"),
        ({"deep": [{"deeper": [[2**40]]}]}, "deep.deeper"),
        ({"layer_types": ["full_attention"] * (2**16 + 1)}, "layer_types"),
        ({"pairs": [[[0] * (2**16 + 1)]]}, "pairs"),
        ({"n_positions": 2**20}, "n_positions"),
        ({"max_position_embeddings": 2**31 - 1}, "max_position_embeddings"),
        ({"vocab_size": [320]}, "vocab_size"),
        ({"intermediate_size": ["many"]}, "intermediate_size"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_no_number_or_length_of_a_configuration_is_without_bounds(model: Path, changes: dict[str, Any], key: str) -> None:  # fmt: skip
    edit(model / "config.json", **changes)
    assert f"config.json: {key} = " in told(model)


def test_large_numbers_of_real_configurations_pass(model: Path) -> None:
    edit(model / "config.json", max_position_embeddings=10_485_760, rope_theta=1_000_000_000, sliding_window=131_072,
         rope_scaling={"original_max_position_embeddings": 8192, "short_factor": [1.0] * 64}, tokens_of_training=1e13,
         id2label={str(n): f"LABEL_{n}" for n in range(1000)}, bos_token_id=128_000, quantization_config=None)  # fmt: skip
    assert told(model) == ""


# A configuration alone


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_plan_does_not_open_what_is_no_file(model: Path, kind: str) -> None:
    path = model / "config.json"
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(RecipeError, match=r"config\.json = a (link to /dev/zero|folder, pipe or device)"):
        architecture(recipe.Model(base=str(model)))
    assert finding.read(path, 100)[1][0].value == "a folder, pipe or device"


def test_a_plan_without_a_directory_or_a_configuration_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no directory"):
        architecture(recipe.Model(base=str(tmp_path / "absent")))
    with pytest.raises(RecipeError, match=r"config\.json = missing"):
        architecture(recipe.Model(base=str(tmp_path)))


def test_no_more_of_a_file_is_read_than_its_limit(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"a": "b" * 100}))
    assert "at most 50 bytes" in str(finding.read(tmp_path / "x.json", 50)[1][0])


@pytest.mark.parametrize("name", ["README.md", origin.PROVENANCE])
def test_what_pakar_alone_reads_is_looked_at_too_and_is_no_part_of_the_model(model: Path, name: str) -> None:
    before = intake.read_files(model)
    (model / name).write_text("{}")
    assert told(model) == ""
    assert intake.read_files(model) == before
    (model / name).unlink()
    os.mkfifo(model / name)
    assert f"{name} = a folder, pipe or device" in told(model)
    assert origin.read(model) == {}


def test_the_card_of_a_model_comes_along_from_a_hub() -> None:
    assert "README.md" in intake.fetched()


# Weights


def write_header(path: Path, raw: bytes) -> None:
    path.write_bytes(struct.pack("<Q", len(raw)) + raw)


def test_a_header_full_of_faults_is_refused_within_a_second(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    raw = b"{" + b",".join(b'"%x":0' % n for n in range(1_500_000)) + b"}"
    assert len(raw) < weights.LONGEST_HEADER
    write_header(path, raw)
    started = time.process_time()
    tensors, wrong = weights.header(path)
    assert time.process_time() - started < 1
    assert (len(tensors), len(wrong)) == (0, 1)


def test_the_number_of_tensors_and_of_findings_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_header(path, json.dumps({str(n): 0 for n in range(weights.MOST_TENSORS + 1)}).encode())
    assert "100,001 tensors; expected at most 100,000" in str(weights.header(path)[1][0])
    write_header(path, json.dumps({str(n): 0 for n in range(1000)}).encode())
    assert len(weights.header(path)[1]) == finding.MOST


@pytest.mark.parametrize("file", ["../x", "absent.safetensors"])
def test_findings_of_an_index_are_bounded(model: Path, file: str) -> None:
    (model / "model.safetensors").unlink()
    places = {str(n): file.replace("absent", f"absent-{n}") for n in range(1000)}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    assert len(weights.look(model, adapter=False)[1]) == finding.MOST


def test_an_index_has_a_largest_number_of_tensors(model: Path) -> None:
    (model / "model.safetensors").unlink()
    places = {str(n): "m.safetensors" for n in range(weights.MOST_TENSORS + 1)}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    assert "100,001 tensors" in told(model)


def test_json_with_millions_of_keys_is_refused_before_it_is_parsed() -> None:
    raw = b"{" + b",".join(b'"%x":0' % n for n in range(2_100_000)) + b"}"
    started = time.process_time()
    value, wrong = finding.parse(raw, "tokenizer.json")
    assert time.process_time() - started < 1
    assert (value, len(wrong)) == (None, 1)


# Steps of a tokenizer


def replace(pattern: dict[str, str] | str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


@pytest.mark.parametrize("place", ["normalizer", "decoder"])
@pytest.mark.parametrize(
    "inner",
    [
        [replace({"String": "a"}, "a" * 10)] * 6,
        [replace({"String": "a"}, "a" * 1000)],
        [replace({"Regex": "x*"}, "ab" * 10)] * 3,
        [{"type": "Sequence", "normalizers": [replace("a", "a" * 10), {"x": [replace("a", "a" * 10)]}]}],
    ],
    ids=["six times ten", "a thousand at once", "between all letters", "nested"],
)
def test_steps_that_make_texts_explode_are_refused(inner: list[dict[str, Any]], place: str) -> None:
    found = [*steps.findings({place: {"type": "Sequence", f"{place}s": inner}}, "tokenizer.json")]
    assert [one.key for one in found] == [place]
    assert "times longer" in str(found[0])


def test_steps_as_models_have_them_pass(model: Path) -> None:
    inner = [
        {"type": "Prepend", "prepend": "\u2581"}, replace({"String": " "}, "\u2581"), replace({"Regex": " {2,}"}, " "),
        replace({"String": "``"}, '"'), replace({"String": "\n"}, "<n>"), {"type": "NFKC"}, {"type": "Lowercase"},
    ]  # fmt: skip
    edit(model / "tokenizer.json", normalizer={"type": "Sequence", "normalizers": inner})
    assert told(model) == ""


def test_a_long_prefix_and_a_broken_table_are_refused() -> None:
    inner = [{"type": "Prepend", "prepend": "a" * 65}, {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
             {"type": "Precompiled", "precompiled_charsmap": 3}]  # fmt: skip
    found = [*steps.findings({"normalizer": {"type": "Sequence", "normalizers": inner}}, "tokenizer.json")]
    assert [one.key.rpartition(".")[2] for one in found] == ["prepend", "precompiled_charsmap", "precompiled_charsmap"]


# Templates, tried in a process of its own


def run_without_own_packages(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """`code` in an interpreter that finds Jinja only where PYTHONPATH says, as with packages of a user or of a cluster."""
    found = os.pathsep.join(path for path in sys.path if path)
    venv.create(tmp_path / "bare", symlinks=True)
    python = tmp_path / "bare" / "bin" / "python"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path, env={"PYTHONPATH": found})  # fmt: skip


TRY = "from pakar.models.intake import chat; print(repr(chat._refused('{{ messages }}')), repr(chat._refused('{{')))"


def test_templates_are_tried_where_jinja_lies_outside_the_installation(tmp_path: Path) -> None:
    (tmp_path / "jinja2.py").write_text("raise RuntimeError('the working directory was read')")
    done = run_without_own_packages("import sys; sys.path = [p for p in sys.path if p]; " + TRY, tmp_path)
    assert done.stdout.startswith("'' ") or done.stdout.startswith('"" '), done.stderr
    assert "cannot be parsed" in done.stdout


def test_an_installation_that_lacks_jinja_is_to_blame_and_not_the_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # fmt: skip
    (tmp_path / "jinja2").mkdir()
    (tmp_path / "jinja2" / "__init__.py").write_text("raise ImportError('No module named markupsafe')")
    monkeypatch.setattr(chat, "_places", lambda: [str(tmp_path)])
    with pytest.raises(UserError, match=r"No module named markupsafe(.|\n)*model is not to blame") as raised:
        chat._refused("{{ messages }} {# tried once #}")
    assert not isinstance(raised.value, RecipeError)
