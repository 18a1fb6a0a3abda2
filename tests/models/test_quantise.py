from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes import functional
from transformers import PreTrainedModel

from pakar import files, recipe
from pakar.errors import RecipeError
from pakar.models import base as base_models
from pakar.models import quantise
from pakar.models.base import BaseModel
from pakar.models.quantise import FourBits
from tests.train import shapes

FLOAT32 = FourBits(torch.float32)
IDS = torch.randint(6, 320, (2, 12), generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=["llama", "gpt2"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> BaseModel:
    shapes.tiny(request.param).save_pretrained(tmp_path)
    return BaseModel("kept", tmp_path)


def unfolded(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Matrices [out, in] as the 4-bit layers multiply with them."""
    return {
        name: functional.dequantize_4bit(layer.weight, layer.weight.quant_state)  # type: ignore[attr-defined]
        for name, layer in quantise.layers(model).items()
    }


def test_the_blocks_matrices_are_in_four_bits_and_nothing_else_is(kept: BaseModel) -> None:
    model = kept.load(torch.bfloat16, four_bits=FourBits(torch.bfloat16))
    in_four_bits = quantise.layers(model)
    assert len(in_four_bits) in (2 * 7, 2 * 4)
    assert all(".layers." in name or ".h." in name for name in in_four_bits)
    others = {parameter.dtype for parameter in model.parameters() if parameter.dtype != torch.uint8}
    assert others == {torch.bfloat16}


def test_a_four_bit_model_computes_what_its_unfolded_matrices_say(kept: BaseModel) -> None:
    model, reference = kept.load(four_bits=FLOAT32), kept.load()
    for name, matrix in unfolded(model).items():
        layer: Any = reference.get_submodule(name)
        assert torch.linalg.norm(matrix) > 0
        layer.weight.data = matrix if isinstance(layer, torch.nn.Linear) else matrix.T.contiguous()
    with torch.no_grad():
        assert torch.allclose(model(IDS).logits, reference(IDS).logits, atol=1e-5)


def test_unfolded_matrices_are_near_the_originals(kept: BaseModel) -> None:
    original = kept.load()
    for name, matrix in unfolded(kept.load(four_bits=FLOAT32)).items():
        layer: Any = original.get_submodule(name)
        weight = layer.weight if isinstance(layer, torch.nn.Linear) else layer.weight.T
        # Normal weights in blocks of 64 lose about a tenth of their magnitude to sixteen levels.
        assert torch.linalg.norm(matrix - weight) < 0.12 * torch.linalg.norm(weight)


def test_weights_take_the_nf4_level_nearest_to_them() -> None:
    from pakar.models import nf4  # noqa: PLC0415

    weights = torch.randn(64, generator=torch.Generator().manual_seed(0))
    packed, state = functional.quantize_4bit(weights, blocksize=64, quant_type="nf4")
    largest = weights.abs().max()
    nearest = [min(nf4.levels(), key=lambda level: abs(level - float(weight / largest))) for weight in weights]
    assert torch.allclose(functional.dequantize_4bit(packed, state), torch.tensor(nearest) * largest, atol=1e-6)


@pytest.mark.parametrize(("double", "most"), [(True, 0.6), (False, 0.6)])
def test_the_starter_in_four_bits_takes_at_most_six_tenths_of_a_byte_per_weight(double: bool, most: float) -> None:
    base = base_models.find(recipe.Model())
    model = base.load(torch.bfloat16, four_bits=FourBits(torch.bfloat16, double=double))
    taken, weights = quantise.stored_bytes(model)
    config = base.load().config
    shared = config.num_key_value_heads / config.num_attention_heads
    per_layer = (2 + 2 * shared) * config.hidden_size**2 + 3 * config.hidden_size * config.intermediate_size
    assert weights == config.num_hidden_layers * per_layer
    assert 0.5 * weights < taken <= most * weights


def test_double_quantisation_of_a_large_matrix_saves_about_three_eighths_of_a_bit_per_weight(tmp_path: Path) -> None:
    config = {**shapes.TINY["gpt2"], "n_embd": 512, "n_layer": 1}
    shapes._build(config).save_pretrained(tmp_path)
    base = BaseModel("wide", tmp_path)
    sizes = [quantise.stored_bytes(base.load(four_bits=FourBits(torch.float32, double=d))) for d in (False, True)]
    (single, weights), (double, _) = sizes
    assert single / weights == pytest.approx(0.5 + 4 / 64, rel=1e-3)
    assert 8 * (single - double) / weights == pytest.approx(0.373, abs=0.03)


def test_gradients_still_flow_through_the_base_after_an_evaluation(kept: BaseModel) -> None:
    def gradient() -> torch.Tensor:
        embeddings: torch.Tensor = model.get_input_embeddings()(IDS).detach().requires_grad_()
        model.train()(inputs_embeds=embeddings, labels=IDS).loss.backward()
        assert embeddings.grad is not None
        return embeddings.grad

    torch.manual_seed(0)
    model: Any = kept.load(torch.bfloat16, four_bits=FourBits(torch.bfloat16))
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    before = gradient()
    model.eval()
    with torch.no_grad():
        model(IDS)
    assert torch.equal(gradient(), before)


def test_under_autocast_a_four_bit_layer_answers_in_the_compute_format(kept: BaseModel) -> None:
    model = kept.load(four_bits=FourBits(torch.bfloat16))
    layer = next(iter(quantise.layers(model).values()))
    x = torch.randn(2, 3, layer.in_features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert layer(x).dtype == torch.float32


def test_weights_that_are_quantised_already_are_refused(kept: BaseModel) -> None:
    config = files.read_json(kept.directory / "config.json")
    files.write_json(kept.directory / "config.json", {**config, "quantization_config": {"quant_method": "gptq"}})
    with pytest.raises(RecipeError, match=r"quantised already \(method: gptq\)(.|\n)*Next: name the model that it was"):
        kept.load(four_bits=FLOAT32)


def test_importing_the_library_says_nothing_and_leaves_logging_as_it_was() -> None:
    import logging  # noqa: PLC0415

    before = logging.getLogger("bitsandbytes.backends.cpu.ops").level
    assert quantise.library().__name__ == "bitsandbytes"
    assert logging.getLogger("bitsandbytes.backends.cpu.ops").level == before


def test_no_command_shows_the_librarys_advice_whoever_imports_it_first() -> None:
    code = "from pakar import progress; progress.silence_libraries(); import peft, bitsandbytes"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "kernels" not in done.stderr


def test_a_four_bit_model_that_is_saved_can_be_read_by_plain_transformers(kept: BaseModel, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM  # noqa: PLC0415

    model = kept.load(four_bits=FLOAT32)
    model.save_pretrained(tmp_path / "four")
    plain: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "four", dtype=torch.float32)
    plain.eval()
    with torch.no_grad():
        # Plain bitsandbytes may compute in bfloat16 on a CPU that has it.
        assert torch.allclose(plain(IDS).logits, model(IDS).logits, atol=0.02)
