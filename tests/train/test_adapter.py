from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from transformers import AutoModelForCausalLM

from pakar import files, recipe
from pakar.errors import RecipeError
from pakar.models import base as base_models
from pakar.models import quantise
from pakar.models.base import BaseModel, parameter_counts
from pakar.train import adapter, targets
from pakar.train.adapter import load_trainable, make_trainable, trainable_weights
from tests import tiny
from tests.train import shapes

IDS = torch.randint(6, 12, (4, 16), generator=torch.Generator().manual_seed(1))
METHODS: dict[str, recipe.Method] = {
    "full": recipe.Full(),
    "lora": recipe.Lora(rank=4, dropout=0.0),
    "qlora": recipe.Qlora(rank=4, dropout=0.0),
}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BaseModel]:
    """A directory for every architecture."""
    found = {}
    for name in shapes.TINY:
        directory = tmp_path_factory.mktemp(name)
        shapes.tiny(name).save_pretrained(directory)
        found[name] = BaseModel(f"example/{name}", directory)
    return found


def steps(model: Any, count: int, learning_rate: float = 0.02) -> list[float]:
    """Losses of some steps on one batch."""
    optimizer = torch.optim.AdamW(list(trainable_weights(model).values()), lr=learning_rate)
    losses = []
    model.train()
    for _ in range(count):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(input_ids=IDS, labels=IDS, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def fresh(bases: dict[str, BaseModel], name: str, method: recipe.Method) -> Any:
    torch.manual_seed(0)
    return load_trainable(bases[name], method, torch.bfloat16)


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("name", shapes.TINY)
def test_every_architecture_learns_by_every_method(bases: dict[str, BaseModel], name: str, kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`")
        model = fresh(bases, name, METHODS[kind])
    weights = trainable_weights(model)
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    frozen = {parameter.dtype for parameter in model.parameters() if not parameter.requires_grad}
    assert frozen == {"full": set(), "lora": {torch.bfloat16}, "qlora": {torch.bfloat16, torch.uint8}}[kind]
    losses = steps(model, 5)
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize("kind", ["lora", "qlora"])
@pytest.mark.parametrize("name", shapes.TINY)
def test_all_linear_takes_every_matrix_of_the_blocks_and_never_the_head(
    bases: dict[str, BaseModel], name: str, kind: str
) -> None:
    model = fresh(bases, name, METHODS[kind])
    adapted = {weight.split(".lora_")[0] for weight in trainable_weights(model)}
    plain = bases[name].load()
    expected = {f"base_model.model.{layer}" for layer in targets.linear_layers(plain)}
    assert adapted == expected
    assert not any("head" in layer or "embed" in layer for layer in adapted)
    shapes = sum(4 * sum(_sides(plain.get_submodule(layer))) for layer in targets.linear_layers(plain))
    assert parameter_counts(model)[0] == shapes


def _sides(layer: Any) -> tuple[int, int]:
    rows, columns = layer.weight.shape
    return rows, columns


@pytest.mark.parametrize(
    ("name", "targets_", "trainable", "total"),
    [("bloomz-560m", "query_key_value", 393_216, 559_607_808), ("gpt2-large", "c_attn", 737_280, 774_767_360)],
)
def test_published_counts_come_out_exactly(name: str, targets_: str, trainable: int, total: int) -> None:
    """A published dialogue model's figures: 393,216 of 559,607,808 (adapter included), and 737,280."""
    method = recipe.Lora(rank=4, alpha=1, targets=(targets_,))
    assert parameter_counts(make_trainable(shapes.hollow(name), method)) == (trainable, total)


@pytest.mark.slow
@pytest.mark.parametrize("name", shapes.published())
def test_models_in_their_true_shape_have_the_published_number_of_weights(name: str) -> None:
    model = make_trainable(shapes.hollow(name), recipe.Full())
    expected = shapes.published()[name]["parameters"]
    assert parameter_counts(model) == (expected, expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rank", "targets_", "trainable"),
    [
        ("llama-3-8b", 16, "all-linear", 41_943_040),
        ("mistral-7b", 16, "all-linear", 41_943_040),
        ("llama-2-7b", 8, ("q_proj", "v_proj"), 4_194_304),
        ("falcon-7b", 16, ("query_key_value",), 4_718_592),
        ("gpt2", 8, ("c_attn",), 294_912),
    ],
)
def test_adapters_of_true_shapes_have_the_usual_number_of_weights(
    name: str, rank: int, targets_: Any, trainable: int
) -> None:
    model = make_trainable(shapes.hollow(name), recipe.Lora(rank=rank, targets=targets_))
    assert parameter_counts(model)[0] == trainable


@pytest.mark.parametrize("name", ["gpt2", "gemma", "smollm"])
def test_tied_weights_are_counted_once_trained_as_one_and_saved_as_one(
    bases: dict[str, BaseModel], name: str, tmp_path: Path
) -> None:
    model = fresh(bases, name, METHODS["full"])
    steps(model, 2)
    assert sum(weight.numel() for weight in trainable_weights(model).values()) == parameter_counts(model)[1]
    adapter.save(model, tmp_path)
    again: Any = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert again.get_output_embeddings().weight is again.get_input_embeddings().weight
    assert torch.equal(again.get_output_embeddings().weight, model.get_output_embeddings().weight)


@pytest.mark.parametrize("kind", ["lora", "qlora"])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_saved_adapter_loads_with_plain_peft_and_says_the_same(
    bases: dict[str, BaseModel], name: str, kind: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = load_trainable(bases[name], METHODS[kind], torch.float32)
    steps(model, 3)
    adapter.save(model, tmp_path)
    written = files.read_json(tmp_path / "adapter_config.json")
    assert written["base_model_name_or_path"] == f"example/{name}"
    assert written["target_modules"] == sorted(written["target_modules"])
    four_bits = quantise.FourBits(torch.float32) if kind == "qlora" else None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`")
        plain = PeftModel.from_pretrained(bases[name].load(four_bits=four_bits), str(tmp_path))
    model.eval()
    with torch.no_grad():
        assert torch.allclose(plain(IDS).logits, model(IDS).logits, atol=1e-5)


def test_an_adapter_names_a_local_base_so_that_peft_finds_it(bases: dict[str, BaseModel], tmp_path: Path) -> None:
    directory = bases["llama"].directory
    model = load_trainable(BaseModel(str(directory), directory), METHODS["lora"], torch.float32)
    adapter.save(model, tmp_path)
    assert AutoPeftModelForCausalLM.from_pretrained(str(tmp_path))


def test_an_adapter_of_the_bundled_base_names_no_path_of_this_machine(tmp_path: Path) -> None:
    base = base_models.find(recipe.Model())
    adapter.save(load_trainable(base, METHODS["qlora"], torch.bfloat16), tmp_path)
    assert not files.read_json(tmp_path / "adapter_config.json")["base_model_name_or_path"]
    assert str(base.directory) not in (tmp_path / "adapter_config.json").read_text()


@pytest.mark.parametrize("kind", ["lora", "qlora"])
@pytest.mark.parametrize("bias", ["all", "lora-only"])
def test_biases_are_trained_where_asked_and_stay_in_float32(bases: dict[str, BaseModel], kind: str, bias: str) -> None:
    make: Any = {"lora": recipe.Lora, "qlora": recipe.Qlora}[kind]
    model = fresh(bases, "gpt2", make(rank=2, bias=bias, targets=("c_fc",)))
    biases = {name: weight for name, weight in trainable_weights(model).items() if "lora_" not in name}
    assert len(biases) == (
        2 if bias == "lora-only" else 2 * 6 + 1
    )  # of c_fc; of 4 matrices and 2 norms each, and the last norm
    before = {name: bias.clone() for name, bias in biases.items()}
    steps(model, 2)
    assert all(weight.dtype == torch.float32 for weight in trainable_weights(model).values())
    assert not any(torch.equal(bias, before[name]) for name, bias in biases.items())


def test_additions_are_scaled_by_the_root_of_the_rank_when_rank_stabilised(bases: dict[str, BaseModel]) -> None:
    def scale(stabilised: bool) -> float:
        method = recipe.Lora(rank=16, alpha=8, targets=("q_proj",), rank_stabilised=stabilised)
        layer: Any = fresh(bases, "llama", method).get_submodule("base_model.model.model.layers.0.self_attn.q_proj")
        return float(layer.scaling["default"])

    assert (scale(False), scale(True)) == (8 / 16, 8 / 4)


@pytest.mark.parametrize("kind", ["lora", "qlora"])
def test_dora_trains_a_length_for_every_output(bases: dict[str, BaseModel], kind: str) -> None:
    make: Any = {"lora": recipe.Lora, "qlora": recipe.Qlora}[kind]
    model = fresh(bases, "gpt2", make(rank=2, dora=True, dropout=0.0, targets=("c_fc",)))
    lengths = [weight for name, weight in trainable_weights(model).items() if "magnitude" in name]
    assert [tuple(length.shape) for length in lengths] == [(256,), (256,)]
    losses = steps(model, 5)
    assert losses[-1] < losses[0]


def test_only_the_chosen_layers_get_additions(bases: dict[str, BaseModel]) -> None:
    model = fresh(bases, "gpt2", recipe.Lora(rank=2, layers=(1,)))
    assert all(".h.1." in name for name in trainable_weights(model))
    assert len(trainable_weights(model)) == 2 * 4


@pytest.mark.parametrize("layers", [(2,), (0, 7), ()])
def test_layers_that_do_not_exist_are_refused_with_those_that_do(
    bases: dict[str, BaseModel], layers: tuple[int, ...]
) -> None:
    with pytest.raises(RecipeError, match=r"train\.method\.layers = \[.*\]: the base model has the layers 0 to 1"):
        fresh(bases, "llama", recipe.Lora(layers=layers))


def test_one_absent_target_among_good_ones_is_not_passed_over(bases: dict[str, BaseModel]) -> None:
    with pytest.raises(RecipeError, match=r"no linear layers named c_attn; it has: down_proj.*q_proj"):
        fresh(bases, "llama", recipe.Lora(targets=("q_proj", "c_attn")))


def test_the_output_head_can_be_a_target_only_where_it_is_a_matrix_of_its_own(bases: dict[str, BaseModel]) -> None:
    model = fresh(bases, "llama", recipe.Lora(rank=2, targets=("lm_head",)))
    assert len(trainable_weights(model)) == 2
    with pytest.raises(RecipeError, match="one and the same matrix"):
        fresh(bases, "smollm", recipe.Lora(targets=("lm_head", "q_proj")))


def test_a_rank_above_a_matrix_smaller_side_is_warned_of(
    bases: dict[str, BaseModel], capsys: pytest.CaptureFixture[str]
) -> None:
    fresh(bases, "llama", recipe.Lora(rank=48))
    assert "k_proj (32), v_proj (32)" in " ".join(capsys.readouterr().err.split())
    fresh(bases, "llama", recipe.Lora(rank=32))
    assert "train.method.rank" not in capsys.readouterr().err


@pytest.mark.parametrize("kind", METHODS)
def test_a_base_that_is_quantised_already_is_refused_by_every_method(
    bases: dict[str, BaseModel], tmp_path: Path, kind: str
) -> None:
    bases["llama"].load(four_bits=quantise.FourBits(torch.float32)).save_pretrained(tmp_path)
    with pytest.raises(RecipeError, match=r"quantised already \(method: bitsandbytes\)"):
        load_trainable(BaseModel("packed", tmp_path), METHODS[kind], torch.float32)


def test_qlora_differs_from_lora_only_by_the_rounding_of_the_base(bases: dict[str, BaseModel]) -> None:
    """Gradients of an adapter on a 4-bit base are those on a base that holds the unfolded matrices."""
    from bitsandbytes.functional import dequantize_4bit  # noqa: PLC0415

    torch.manual_seed(0)
    four = load_trainable(bases["llama"], METHODS["qlora"], torch.float32)
    plain = bases["llama"].load()
    for name, layer in quantise.layers(four.get_base_model()).items():
        weight: Any = layer.weight
        original: Any = plain.get_submodule(name.replace(".base_layer", ""))
        original.weight.data = dequantize_4bit(weight, weight.quant_state)
    torch.manual_seed(0)
    reference = make_trainable(plain, METHODS["lora"])
    adapter.load_weights(reference, trainable_weights(four))
    for model in (four, reference):
        model(input_ids=IDS, labels=IDS).loss.backward()
    for name, weight in trainable_weights(four).items():
        assert torch.allclose(weight.grad, trainable_weights(reference)[name].grad, atol=1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["lora", "qlora"])
def test_what_is_frozen_takes_the_format_of_the_computation_float16_too(bases: dict[str, BaseModel], kind: str) -> None:
    model = load_trainable(bases["llama"], METHODS[kind], torch.float16)
    frozen = {parameter.dtype for parameter in model.parameters() if not parameter.requires_grad}
    assert frozen - {torch.uint8} == {torch.float16}
    assert {weight.dtype for weight in trainable_weights(model).values()} == {torch.float32}


def test_the_format_that_matrices_are_unfolded_to_can_be_chosen(bases: dict[str, BaseModel]) -> None:
    def unfolded_to(compute: Any) -> set[torch.dtype | None]:
        model = load_trainable(bases["llama"], recipe.Qlora(rank=2, compute=compute), torch.bfloat16)
        return {layer.compute_dtype for layer in quantise.layers(model).values()}

    assert unfolded_to("auto") == {torch.bfloat16}
    assert unfolded_to("float32") == {torch.float32}


def test_packed_matrices_stored_as_floating_point_hold_the_same_weights(bases: dict[str, BaseModel]) -> None:
    """Sharded training needs such storage; what is computed does not change."""
    model, other = (
        load_trainable(bases["llama"], METHODS["qlora"], torch.float32, storage=storage).eval()
        for storage in (torch.uint8, torch.bfloat16)
    )
    assert not any(parameter.dtype == torch.uint8 for parameter in other.parameters())
    with torch.no_grad():
        assert torch.equal(model(IDS).logits, other(IDS).logits)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells which files are mapped")
def test_the_file_of_a_base_in_4_bits_is_let_go_of_once_it_was_read(tmp_path: Path) -> None:
    path = tiny.save_model(tmp_path / "base")
    tiny.model().bfloat16().save_pretrained(path)  # in another format it would be copied anyway
    model = load_trainable(base_models.find(recipe.Model(base=str(path))), recipe.Qlora(), torch.bfloat16)
    assert quantise.layers(model)
    assert str(path) not in Path("/proc/self/maps").read_text(encoding="utf-8")
