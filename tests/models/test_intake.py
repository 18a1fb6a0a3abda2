from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from pakar import recipe
from pakar.errors import RecipeError, UserError
from pakar.models import base, intake, merge, tuned
from pakar.models.intake import finding, weights
from tests import tiny


@pytest.fixture
def model(tiny_base: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(tiny_base, tmp_path / "model"))


def edit(path: Path, **changes: Any) -> None:
    """Set top-level keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def write_safetensors(path: Path, header: object, tail: bytes = b"", length: int | None = None) -> None:
    """A file of the format by hand, so that each of its parts can be wrong."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + tail)


def told(directory: Path) -> str:
    return "\n".join(map(str, intake.findings(directory)))


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self.canary),)


# Files


def test_pickled_weights_are_refused_unread(model: Path, tmp_path: Path) -> None:
    (model / "model.safetensors").unlink()
    for name in ("pytorch_model.bin", "model.pt", "model.pkl", "model.ckpt", "model.npy"):
        (model / name).write_bytes(pickle.dumps(Payload(tmp_path / "canary")))
    assert "expected weights as model.safetensors" in told(model)
    with pytest.raises(RecipeError, match="Pickled weights"):
        base.find(recipe.Model(base=str(model)))
    assert not (tmp_path / "canary").exists()


def test_safetensors_under_a_name_that_no_loader_takes_do_not_let_pickled_weights_in(model: Path) -> None:
    (model / "model.safetensors").rename(model / "other.safetensors")
    (model / "pytorch_model.bin").write_bytes(b"x")
    assert "expected weights as model.safetensors" in told(model)


def test_other_formats_beside_safetensors_are_neither_read_nor_a_reason_to_refuse(model: Path, tmp_path: Path) -> None:
    payload = pickle.dumps(Payload(tmp_path / "canary"))
    for name in ("pytorch_model.bin", "rust_model.ot", "flax_model.msgpack", "tf_model.h5", "64.tflite", "model.gguf"):
        (model / name).write_bytes(payload)
    (model / "onnx").mkdir()
    (model / "onnx" / "model.onnx").write_bytes(payload)
    (model / "modeling_llama.py").write_text(f"import os; os.mkdir({str(tmp_path / 'canary')!r})")
    (model / "preprocessor_config.json").write_text("{")
    found = base.find(recipe.Model(base=str(model)))
    before = found.fingerprint
    found.load()
    found.tokenizer()
    assert not (tmp_path / "canary").exists()
    (model / "pytorch_model.bin").unlink()
    assert base.find(recipe.Model(base=str(model))).fingerprint == before


def test_links_out_of_the_directory_are_refused_without_opening_them(model: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text('{"auto_map": 1}')
    (model / "config.json").unlink()
    (model / "config.json").symlink_to(tmp_path / "secret.json")
    (model / "vocab.txt").symlink_to(tmp_path / "absent")
    found = told(model)
    assert "config.json = a link to" in found
    assert "vocab.txt = unreadable (FileNotFoundError)" in found
    assert "auto_map" not in found


def test_a_snapshot_of_the_hub_cache_passes_and_its_links_lead_nowhere_else(model: Path, tmp_path: Path) -> None:
    root = tmp_path / "models--some--one"
    snapshot, blobs = root / "snapshots" / "c0ffee", root / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, path in enumerate(sorted(model.iterdir())):
        shutil.copy(path, blobs / str(number))
        (snapshot / path.name).symlink_to(Path("../../blobs") / str(number))
    assert told(snapshot) == ""
    (snapshot / "vocab.txt").symlink_to(tmp_path / "model" / "config.json")
    assert "vocab.txt = a link to" in told(snapshot)


def test_pipes_and_folders_in_place_of_files_do_not_hang(model: Path) -> None:
    (model / "config.json").unlink()
    os.mkfifo(model / "config.json")
    (model / "tokenizer.json").unlink()
    (model / "tokenizer.json").mkdir()
    assert told(model).count("a folder, pipe or device") == 2


def test_a_huge_configuration_is_refused_unread(model: Path) -> None:
    with (model / "config.json").open("r+b") as file:
        file.truncate(2**33)
    assert "config.json = 8,589,934,592 bytes; expected at most" in told(model)


def test_an_adapter_hidden_in_a_base_model_is_refused(model: Path) -> None:
    (model / "adapter_config.json").write_text("{}")
    assert "adapter_config.json = an adapter" in told(model)


# Configurations


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"configuration_files": ["config.4.0.0.json"]}, "configuration_files"),
        ({"text_config": {"trust_remote_code": True}}, "text_config.trust_remote_code"),
        ({"a": [{"b": {"auto_map": None}}]}, "a.0.b.auto_map"),
        ({"trust_remote_code": "yes"}, "trust_remote_code"),
        ({"_attn_implementation_internal": "someone/kernel"}, "_attn_implementation_internal"),
        ({"_attn_implementation_internal": "sdpa"}, "_attn_implementation_internal"),
        ({"attn_implementation": "someone/kernel:run"}, "attn_implementation"),
        ({"_attn_implementation": {"": "someone/kernel"}}, "_attn_implementation"),
        ({"_attn_implementation_autoset": "someone/kernel"}, "_attn_implementation_autoset"),
        ({"attn_implementation": "flash_attention_2"}, "attn_implementation"),
        ({"_experts_implementation": "someone/kernel"}, "_experts_implementation"),
        ({"experts_implementation_internal": "someone/kernel"}, "experts_implementation_internal"),
        ({"use_kernels": True}, "use_kernels"),
        ({"custom_pipelines": {"x": {"impl": "evil.Pipe"}}}, "custom_pipelines"),
        ({"transformers_weights": "adapter_model.bin"}, "transformers_weights"),
        ({"__class__": "x"}, "__class__"),
        ({"model_type": "evil"}, "model_type"),
        ({"model_type": ["llama"]}, "model_type"),
        ({"text_config": {"model_type": "evil"}}, "text_config.model_type"),
        ({"quantization_config": {"quant_method": "evil"}}, "quantization_config.quant_method"),
        ({"quantization_config": {"quant_method": "torchao", "quant_type": {}}}, "quantization_config.quant_method"),
        ({"quantization_config": {"load_in_4bit": True}}, "quantization_config.quant_method"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "run": 1}}, "quantization_config.run"),
        ({"quantization_config": "x"}, "quantization_config"),
        ({"vocab_size": -1}, "vocab_size"),
        ({"vocab_size": "320"}, "vocab_size"),
        ({"vocab_size": 10**15}, "vocab_size"),
        ({"vocab_size": 2**31 - 1}, "vocab_size"),
        ({"hidden_size": 32.5}, "hidden_size"),
        ({"hidden_size": True}, "hidden_size"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"text_config": {"vocab_size": 2**30, "hidden_size": 2**20}}, "text_config.vocab_size"),
    ],
)
def test_configurations_that_fetch_run_or_exhaust_are_refused(
    model: Path, changes: dict[str, Any], expected: str
) -> None:
    edit(model / "config.json", **changes)
    assert f"config.json: {expected} = " in told(model)


@pytest.mark.parametrize(
    "changes",
    [
        {"_attn_implementation_autoset": True},
        {"_attn_implementation": "eager", "attn_implementation": None},
        {"quantization_config": None, "trust_remote_code": False, "cache_implementation": "hybrid"},
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}},
        {"n_inner": None, "_name_or_path": "/somebody/else", "time_step_limit": [0.0, float("inf")]},
        {"intermediate_size": [64, 64], "num_key_value_heads": [2, 2], "id2label": {"0": "LABEL_0"}},
    ],
)
def test_harmless_rarities_of_real_configurations_pass(model: Path, changes: dict[str, Any]) -> None:
    edit(model / "config.json", **changes)
    assert told(model) == ""


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('{"model_type": "llama", "model_type": "evil"}', "stands twice"),
        ('{"a": {"b": 1, "b": 2}}', "stands twice"),
        ("[" * 100_000, "unreadable"),
        ('{"a":' * 40 + "1" + "}" * 40, "deep nesting"),
        ('{"a": ' + "9" * 10_000 + "}", "unreadable"),
        ("[]", "a JSON object"),
        ("", "unreadable"),
        ("{", "unreadable"),
        ("\ufeff{}", "unreadable"),
    ],
)
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "generation_config.json"])
def test_json_that_readers_take_differently_is_refused(model: Path, raw: str, expected: str, name: str) -> None:
    (model / name).write_text(raw)
    assert expected in told(model)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"auto_map": {"AutoTokenizer": ["evil.Slow", None]}}, "auto_map"),
        ({"auto_map": ["evil.Slow", None]}, "auto_map"),
        ({"tokenizer_class": "Trainer"}, "tokenizer_class"),
        ({"tokenizer_class": "EvilTokenizer"}, "tokenizer_class"),
        ({"tokenizer_class": "../evil"}, "tokenizer_class"),
        ({"vocab_file": "/etc/passwd"}, "vocab_file"),
        ({"merges_file": "../../secret"}, "merges_file"),
        ({"fast_tokenizer_files": ["../tokenizer.json"]}, "fast_tokenizer_files"),
        ({"init_inputs": [1]}, "init_inputs"),
    ],
)
def test_tokenizer_configurations_that_reach_out_are_refused(
    model: Path, changes: dict[str, Any], expected: str
) -> None:
    edit(model / "tokenizer_config.json", **changes)
    assert f"tokenizer_config.json: {expected} = " in told(model)


def test_all_that_is_wrong_is_told_at_once_with_the_way_out(model: Path) -> None:
    edit(model / "config.json", auto_map={"AutoConfig": "evil.C"}, vocab_size="many", model_type="evil\x1b[2J")
    edit(model / "tokenizer_config.json", tokenizer_class="Trainer")
    edit(model / "generation_config.json", auto_map={})
    with pytest.raises(RecipeError) as raised:
        base.find(recipe.Model(base=str(model)))
    message = str(raised.value)
    assert raised.value.exit_code == 2
    assert message.count("\n  - ") == 5
    assert "config.json: vocab_size = many; expected a whole number" in message
    assert "auto_map is taken out" in message
    assert "\x1b" not in message


def test_a_directory_that_changed_is_looked_at_again(model: Path) -> None:
    assert told(model) == ""
    text = (model / "config.json").read_text()
    (model / "config.json").write_text(text.replace('"llama"', '"evil!"'))
    assert "model_type = evil!" in told(model)
    (model / "config.json").write_text(text)
    assert told(model) == ""


# Weights

ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "tail", "expected"),
    [
        ({"a": ONE}, b"\0" * 7, "cut off"),
        ({"a": ONE}, b"\0" * 9, "cut off"),
        ({"a": ONE, "b": ONE}, b"\0" * 8, "without gap or overlap"),
        ({"a": ONE, "b": {**ONE, "data_offsets": [9, 17]}}, b"\0" * 17, "without gap or overlap"),
        ({"a": {**ONE, "data_offsets": [8, 0]}}, b"\0" * 8, "two offsets"),
        ({"a": {**ONE, "data_offsets": [0, 2**70]}}, b"\0" * 8, "two offsets"),
        ({"a": {**ONE, "data_offsets": [-8, 0]}}, b"\0" * 8, "two offsets"),
        ({"a": {**ONE, "shape": [3]}}, b"\0" * 8, "as many bytes"),
        ({"a": {**ONE, "shape": [2**62] * 16}}, b"\0" * 8, "as many bytes"),
        ({"a": {**ONE, "shape": [True, 2]}}, b"\0" * 8, "a shape"),
        ({"a": {**ONE, "shape": [1] * 17}}, b"\0" * 8, "a shape"),
        ({"a": {**ONE, "dtype": "PICKLE"}}, b"\0" * 8, "a dtype"),
        ({"a": {**ONE, "dtype": ["F32"]}}, b"\0" * 8, "a dtype"),
        ({"a": {**ONE, "code": "x"}}, b"\0" * 8, "dtype, shape and data_offsets"),
        ({"a": 3}, b"", "dtype, shape and data_offsets"),
        ({"../../a": ONE}, b"\0" * 8, "a tensor's name"),
        ({"a\0": ONE}, b"\0" * 8, "a tensor's name"),
        ({"__metadata__": {"a": 1}}, b"", "texts by name"),
        (b'{"a": 1, "a": 2}', b"", "stands twice"),
        (b"[1]", b"", "a JSON object"),
        (b"\xff\xff", b"", "unreadable"),
    ],
)
def test_safetensors_that_contradict_themselves_are_refused(
    tmp_path: Path, header: object, tail: bytes, expected: str
) -> None:
    write_safetensors(tmp_path / "model.safetensors", header, tail)
    assert expected in str(weights.header(tmp_path / "model.safetensors")[1])


@pytest.mark.parametrize("length", [0, 1, 2**24 + 1, 2**63, 2**64 - 1])
def test_a_header_longer_than_the_file_or_the_limit_is_not_read(tmp_path: Path, length: int) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, b"{}", length=length)
    with path.open("r+b") as file:
        file.truncate(200_000_000)
    assert "length of the header" in str(weights.header(path)[1])


def test_every_dtype_that_models_come_in_passes(tmp_path: Path) -> None:
    kinds = (torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2, torch.uint8, torch.bool, torch.int64)  # fmt: skip
    tensors = {str(kind): torch.zeros(3, 2).to(kind) for kind in kinds} | {"scalar": torch.tensor(1.0), "none": torch.zeros(0, 4)}  # fmt: skip
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    found, wrong = weights.header(tmp_path / "model.safetensors")
    assert wrong == []
    assert {name: tensor.shape for name, tensor in found.items()} == {n: tuple(t.shape) for n, t in tensors.items()}


@pytest.mark.parametrize(
    "file", ["../model-1.safetensors", "/etc/model.safetensors", "a/b.safetensors", "x.bin", "c:\\x.safetensors", 3]
)
def test_an_index_that_leads_elsewhere_is_refused(model: Path, file: object) -> None:
    (model / "model.safetensors").rename(model.parent / "model-1.safetensors")
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": file}}))
    assert "the plain name of a .safetensors file" in told(model)


def test_an_index_that_does_not_fit_its_shards_is_refused(model: Path) -> None:
    shutil.rmtree(model)
    tiny.model().save_pretrained(model, max_shard_size="20KB")
    tiny.tokenizer().save_pretrained(model)
    assert told(model) == ""
    path = model / "model.safetensors.index.json"
    places = json.loads(path.read_text())["weight_map"]
    first, *_, last = places
    assert places[first] != places[last]
    edit(path, weight_map=places | {"made.up": places[first]})
    assert "weight_map.made.up" in told(model)
    edit(path, weight_map=places | {first: places[last]})
    assert f"weight_map.{first}" in told(model)
    edit(path, weight_map=places | {first: "absent.safetensors"})
    assert "absent.safetensors; expected a file that is there" in told(model)
    save_file({first: torch.zeros(1), "fresh": torch.zeros(1)}, model / "model-copy.safetensors")
    edit(path, weight_map=places | {"fresh": "model-copy.safetensors"})
    assert "in two files" in told(model)


# Adapters


@pytest.fixture
def adapter(tmp_path: Path, tiny_base: Path) -> Path:
    """A LoRA adapter as PEFT saves it."""
    plain = AutoModelForCausalLM.from_pretrained(tiny_base)
    get_peft_model(plain, LoraConfig(r=2, target_modules="all-linear")).save_pretrained(str(tmp_path / "adapter"))
    return tmp_path / "adapter"


def test_an_adapter_as_peft_saves_it_passes_on_its_base_alone(adapter: Path, tiny_base: Path) -> None:
    assert intake.findings(adapter, base=("starter", str(tiny_base))) == []
    for moved in (None, "", "/some/other/place"):
        edit(adapter / "adapter_config.json", base_model_name_or_path=moved)
        assert intake.findings(adapter, base=("starter",)) == []
    edit(adapter / "adapter_config.json", base_model_name_or_path="someone/model")
    assert intake.findings(adapter, base=("someone/model",)) == []
    assert "starter, which is used" in str(intake.findings(adapter, base=("starter",)))


@pytest.mark.parametrize(
    "changes",
    [
        {"peft_type": "XLORA"},
        {"peft_type": None},
        {"auto_mapping": {"base_model_class": "system", "parent_library": "os"}},
        {"megatron_config": {"a": 1}},
        {"megatron_core": "evil"},
        {"layer_replication": [[0, 10**9]]},
        {"eva_config": {"a": 1}},
        {"init_lora_weights": "/somewhere/else"},
        {"init_lora_weights": ["a"]},
        {"auto_map": {"AutoModel": "evil.M"}},
        {"r": 10**12},
        {"r": "4"},
        {"base_model_name_or_path": "someone/else"},
        {"base_model_name_or_path": ["starter"]},
        {"r": 3},
        {"target_modules": "([a-z_.0-9]+)+!"},
        {"target_modules": ["q_proj", "(a+)+"]},
        {"target_modules": []},
        {"target_modules": ["q"] * 2000},
        {"exclude_modules": ["(a+)+"]},
        {"rank_pattern": {".*": 10**7}},
        {"alpha_pattern": {".*": 10**7}},
        {"modules_to_save": ["lm_head"]},
        {"layers_to_transform": [10**9]},
        {"layers_pattern": "(a+)+"},
        {"bias": "some"},
        {"lora_dropout": 2},
        {"use_dora": "yes"},
        {"task_type": "SEQ_CLS"},
        {"trainable_token_indices": [1]},
        {"target_parameters": ["x"]},
        {"use_something_unknown": {"impl": "x"}},
    ],
)
def test_adapters_that_reach_out_are_refused(adapter: Path, tiny_base: Path, changes: dict[str, Any]) -> None:
    edit(adapter / "adapter_config.json", **changes)
    assert [*changes] == [one.key for one in intake.findings(adapter, base=(str(tiny_base),))]


def test_an_adapter_that_lacks_weights_is_not_filled_up(adapter: Path, tiny_base: Path) -> None:
    path = adapter / "adapter_model.safetensors"
    stored = {name: tensor for name, tensor in load_file(path).items() if "layers.1" not in name}
    save_file(stored, path, metadata={"format": "pt"})
    with pytest.raises(RecipeError, match="missing adapter keys"):
        merge._with_adapter(base.BaseModel("x", tiny_base).load(), adapter)


@pytest.mark.parametrize("options", [{"use_rslora": True}, {"use_dora": True}, {"bias": "all"}, {"layers_to_transform": [0]},
                                     {"init_lora_weights": "gaussian"}, {"lora_dropout": 0.1, "task_type": "CAUSAL_LM"}], ids=str)  # fmt: skip
def test_every_kind_of_lora_that_pakar_writes_passes(tiny_base: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    plain = AutoModelForCausalLM.from_pretrained(tiny_base)
    get_peft_model(plain, LoraConfig(r=2, target_modules=["q_proj", "mlp.up_proj"], **options)).save_pretrained(str(tmp_path / "a"))  # fmt: skip
    assert intake.findings(tmp_path / "a", base=(str(tiny_base),)) == []


def test_an_adapter_with_pickled_weights_is_refused_unread(adapter: Path, tiny_base: Path, tmp_path: Path) -> None:
    (adapter / "adapter_model.safetensors").unlink()
    (adapter / "adapter_model.bin").write_bytes(pickle.dumps(Payload(tmp_path / "canary")))
    with pytest.raises(UserError, match=r"expected weights as adapter_model\.safetensors"):
        intake.refuse(adapter, "the adapter", base=(str(tiny_base),))
    assert not (tmp_path / "canary").exists()


def test_a_tuned_model_that_was_tampered_with_is_not_loaded(adapter: Path, tiny_base: Path, tmp_path: Path) -> None:
    trained_on = base.find(recipe.Model(base=str(tiny_base)))
    (adapter / tuned.PROVENANCE).write_text(json.dumps({"base_fingerprint": trained_on.fingerprint}))
    tiny.tokenizer().save_pretrained(adapter)
    assert isinstance(tuned.load(adapter, trained_on), PreTrainedModel)
    intake.refuse_tokenizer(adapter, "it")
    (adapter / "chat_template.jinja").write_text("{{ ''.__class__ }}")
    for load in (lambda: tuned.load(adapter, trained_on), lambda: tuned.prompt_renderer(adapter, "")):
        with pytest.raises(UserError, match=r"chat_template\.jinja = line 1 reaches for __class__") as raised:
            load()
        assert raised.value.exit_code == 1
    (adapter / "chat_template.jinja").unlink()
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(UserError, match="expected weights as"):
        tuned.load(adapter, trained_on)


def test_what_is_told_is_one_short_line_whatever_stands_in_the_file() -> None:
    line = str(finding.Finding("a\nb", "k\x1b[0m", {"x": "y" * 10_000}, "something"))
    assert line.isprintable()
    assert len(line) < 200
