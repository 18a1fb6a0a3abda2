from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from pakar.errors import QualityError, UserError
from pakar.models import merge, tuned
from pakar.models.base import BaseModel
from pakar.models.merge import TOLERANCES, Difference
from pakar.models.origin import PROVENANCE
from tests import tiny

ROWS = [[7, 9, 30, 44, 100, 250, 2], [60, 61, 62, 63, 64], [5, 5, 5]]


def gpt2() -> GPT2LMHeadModel:
    """Its projection of the attention is square: no shape tells whether it lies or stands."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {"n_layer": 2, "n_embd": 64, "n_head": 2, "vocab_size": 320, "n_positions": 64}
    return GPT2LMHeadModel(GPT2Config(**shape, initializer_range=0.3, bos_token_id=1, eos_token_id=2))


def make(folder: Path, model: PreTrainedModel, *, kind: str = "lora", dtype: str = "float32", **options: Any) -> tuple[Path, BaseModel]:  # fmt: skip
    """A base model and a strong random adapter on it as trained."""
    model.save_pretrained(folder / "base")
    tiny.tokenizer().save_pretrained(folder / "base")
    base, directory = BaseModel("base", folder / "base"), folder / "tuned"
    directory.mkdir()
    known = {"base_fingerprint": base.fingerprint, "method": {"kind": kind}, "base_dtype": dtype}
    (directory / PROVENANCE).write_text(json.dumps(known))
    foundation = merge._base_as_trained(directory, base)
    options["fan_in_fan_out"] = kind == "lora" and isinstance(model, GPT2LMHeadModel)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", **options)
    adapted = get_peft_model(foundation, config)
    torch.manual_seed(1)
    for name, weight in adapted.named_parameters():
        if "lora_" in name or (weight.requires_grad and name.endswith("bias")):
            weight.data = torch.randn_like(weight) * 0.2
        if "magnitude" in name:
            weight.data *= 1.3
    adapted.save_pretrained(str(directory), save_embedding_layers=False)
    return directory, base


VARIANTS: list[dict[str, Any]] = [{}, {"use_rslora": True}, {"use_dora": True}, {"bias": "all"}, {"bias": "lora_only"}]


@pytest.mark.parametrize("options", VARIANTS, ids=["plain", "rslora", "dora", "all biases", "some biases"])
@pytest.mark.parametrize("kind", ["lora", "qlora"])
@pytest.mark.parametrize("architecture", [tiny.model, gpt2], ids=["llama", "gpt2"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_merged_adapter_computes_what_it_computed_beside_its_base(
    tmp_path: Path, architecture: Any, kind: str, options: dict[str, Any], dtype: str
) -> None:
    directory, base = make(tmp_path, architecture(), kind=kind, dtype=dtype, **options)
    before = merge.logits(merge.as_trained(directory, base), ROWS)
    found = merge.compare(before, merge.logits(tuned.load(directory, base), ROWS))
    merge.check(found, "float32")
    assert found.largest < 1e-3


@pytest.mark.parametrize("architecture", [tiny.model, gpt2], ids=["llama", "gpt2"])
def test_a_qlora_adapter_merged_onto_the_base_before_rounding_is_refused(tmp_path: Path, architecture: Any) -> None:
    directory, base = make(tmp_path, architecture(), kind="qlora")
    before = merge.logits(merge.as_trained(directory, base), ROWS)
    wrong: Any = merge._with_adapter(base.load(), directory)
    wrong = wrong.merge_and_unload()
    found = merge.compare(before, merge.logits(wrong, ROWS))
    for storage in TOLERANCES:
        with pytest.raises(QualityError, match="not the one that was trained"):
            merge.check(found, storage)


def test_unfolded_weights_lie_on_the_sixteen_levels_of_their_blocks(tmp_path: Path) -> None:
    directory, base = make(tmp_path, tiny.model(), kind="qlora")
    plain = base.load()
    merge.unfold(merge._base_as_trained(directory, base), plain)
    weight = plain.get_parameter("model.layers.0.mlp.up_proj.weight").detach().reshape(-1, 64)
    scaled = weight / weight.abs().amax(dim=1, keepdim=True)
    assert len(set(scaled.mul(1e4).round().flatten().tolist())) <= 16
    original = base.load().get_parameter("model.norm.weight")
    assert torch.equal(plain.get_parameter("model.norm.weight"), original)


def test_a_tuned_model_of_another_base_or_none_is_refused(tmp_path: Path) -> None:
    directory, base = make(tmp_path, tiny.model())
    other = BaseModel("other", tiny.save_model(tmp_path / "other", seed=3))
    with pytest.raises(UserError, match="trained from another base"):
        tuned.load(directory, other)
    with pytest.raises(UserError, match="no finished model"):
        tuned.load(tmp_path, base)


@given(seed=st.integers(0, 1000), shift=st.floats(-50, 50))
def test_a_model_is_no_different_from_itself_nor_from_its_logits_shifted(seed: int, shift: float) -> None:
    one = [torch.randn(5, 11, generator=torch.Generator().manual_seed(seed))]
    same = merge.compare(one, one)
    assert (same.largest, same.agreement, same.positions) == (0.0, 1.0, 5)
    moved = merge.compare(one, [one[0] + shift])
    assert moved.agreement == 1.0
    assert moved.divergence == pytest.approx(0.0, abs=1e-4)


def test_the_divergence_is_that_of_the_textbook() -> None:
    one, other = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
    found = merge.compare([one], [other])
    assert found.divergence == pytest.approx(0.5 * torch.log(torch.tensor(4 / 3)).item())
    assert found.agreement == 1.0  # the first has no favourite
    assert merge.compare([other], [one.flip(0)]).agreement in (0.0, 1.0)


def test_choices_that_turn_are_counted() -> None:
    one = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert merge.compare([one], [one.flip(1)]).agreement == 0.0
    other = one.clone()
    other[0] = torch.tensor([0.0, 1.0])
    assert merge.compare([one], [other]).agreement == 0.75


def test_what_is_no_number_is_never_within_a_tolerance() -> None:
    broken = [torch.full((2, 3), float("nan"))]
    for found in (merge.compare([torch.ones(2, 3)], broken), merge.compare(broken, broken)):
        for storage in TOLERANCES:
            with pytest.raises(QualityError):
                merge.check(found, storage)


def test_a_refusal_names_the_fault_and_a_way_out() -> None:
    with pytest.raises(QualityError, match=r"(?s)93\.0% of 100 positions, 98% needed.*--as merged:float32") as refusal:
        merge.check(Difference(100, 0.5, 10.0, 0.93, 1e-4), "bfloat16")
    assert refusal.value.exit_code == 3
    with pytest.raises(QualityError, match=r"(?s)moved by 0\.05.*--as adapter"):
        merge.check(Difference(100, 0.5, 10.0, 1.0, 0.0), "float32")
