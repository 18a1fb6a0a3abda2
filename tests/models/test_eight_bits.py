from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from pakar import recipe
from pakar.errors import RecipeError
from pakar.models import base, eight_bits
from pakar.models.intake.layout import EIGHT_BITS
from pakar.models.intake.weights import METADATA
from tests import tiny


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A tiny model in 8 bits."""
    directory = tiny.save_model(tmp_path / "small")
    weights = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    eight_bits.write(directory, weights)
    return directory


@given(st.integers(1, 8), st.integers(1, 40), st.integers(0, 1000))
def test_every_number_comes_back_within_half_a_step_of_its_row(rows: int, columns: int, seed: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    scales = torch.randint(-6, 7, (rows, 1), generator=chance).float()
    matrix = torch.randn(rows, columns, generator=chance) * 10**scales
    back = eight_bits.unfold(eight_bits.fold({"w": matrix}))["w"]
    step = matrix.abs().amax(dim=1, keepdim=True) / 127
    assert ((back - matrix).abs() <= 0.5001 * step).all()
    assert torch.equal(eight_bits.unfold(eight_bits.fold({"w": back}))["w"], back)  # rounding once is rounding twice


def test_vectors_and_rows_of_zeros_stay_exact() -> None:
    weights = {"norm": torch.randn(5), "w": torch.tensor([[0.0, 0.0], [1.0, -2.0]])}
    back = eight_bits.unfold(eight_bits.fold(weights))
    assert torch.equal(back["norm"], weights["norm"])
    assert back["w"][0].tolist() == [0.0, 0.0]
    assert back["w"][1, 1] == -2.0


def test_a_directory_in_8_bits_is_a_base_like_any_other_and_takes_a_quarter(small: Path, tiny_base: Path) -> None:
    found = base.find(recipe.Model(base=str(small)))
    plain = base.find(recipe.Model(base=str(tiny_base)))
    ids = torch.arange(6, 30)[None]
    with torch.no_grad():
        exact, rounded = (one.load()(input_ids=ids).logits for one in (plain, found))
    assert 0 < (rounded - exact).std() < 0.05 * exact.std()
    assert found.fingerprint != plain.fingerprint
    assert (small / EIGHT_BITS).stat().st_size < 0.35 * (tiny_base / "model.safetensors").stat().st_size
    assert found.load(torch.bfloat16).dtype == torch.bfloat16


def test_other_loaders_find_no_weights_rather_than_wrong_ones(small: Path) -> None:
    with pytest.raises(OSError, match="model"):
        AutoModelForCausalLM.from_pretrained(small, local_files_only=True)


def rewritten(path: Path, change: Callable[[dict[str, Any], dict[str, str]], None]) -> None:
    tensors, metadata = load_file(path), dict(METADATA)
    change(tensors, metadata)
    save_file(tensors, path, metadata=metadata)


CHANGES: dict[str, tuple[Callable[[dict[str, Any], dict[str, str]], None], str]] = {
    "version": (lambda _, m: m.update(version="2"), "another version of Pakar"),
    "more metadata": (lambda _, m: m.update(code="x"), "another version of Pakar"),
    "no scales": (lambda t, _: t.__delitem__("model.embed_tokens.weight.scale"), "a matrix with its scales"),
    "scales of another size": (
        lambda t, _: t.update({"model.embed_tokens.weight.scale": torch.ones(3)}),
        "a scale in F32 for every row",
    ),
    "scales of nothing": (lambda t, _: t.update({"x.scale": torch.ones(3)}), "a scale in F32 for every row"),
    "another format": (lambda t, _: t.update({"x": torch.ones(3, dtype=torch.float16)}), "I8 or F32"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_not_known_is_refused_in_words(small: Path, name: str) -> None:
    change, told = CHANGES[name]
    rewritten(small / EIGHT_BITS, change)
    with pytest.raises(RecipeError, match=told):
        base.find(recipe.Model(base=str(small)))


def test_a_file_that_is_cut_off_is_refused(small: Path) -> None:
    path = small / EIGHT_BITS
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(RecipeError, match="cut off"):
        base.find(recipe.Model(base=str(small)))
    header = json.dumps({"__metadata__": {}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(RecipeError, match="another version"):
        base.find(recipe.Model(base=str(small)))
