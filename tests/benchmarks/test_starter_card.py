"""The bundled model is the one that its card describes: the same files, and the loss that was published."""

from __future__ import annotations

import re

import pytest
from benchmarks.machine import ROOT
from safetensors.torch import load_file

from benchmarks import starter, starter_bits
from pakar import files

CARD = (starter.STARTER / "README.md").read_text(encoding="utf-8")
MOST_BYTES = 12_000_000
BUNDLED = ROOT / "recipes" / "data" / "mental-health-faq.csv"


def test_every_shipped_file_has_the_hash_in_the_card() -> None:
    told = dict(re.findall(r"^\| `([\w.-]+)` \| `([0-9a-f]{64})` \|$", CARD, re.MULTILINE))
    shipped = [path for path in starter.STARTER.iterdir() if path.is_file() and path.name != "README.md"]
    assert told == {path.name: files.sha256(path) for path in shipped}
    assert sum(path.stat().st_size for path in shipped) <= MOST_BYTES


def test_the_configuration_tells_the_number_format_of_the_weights() -> None:
    told = files.read_json(starter.STARTER / "config.json")["dtype"]
    assert {str(weight.dtype) for weight in load_file(starter.STARTER / "model.safetensors").values()} == {
        f"torch.{told}"
    }


def test_the_published_bits_per_byte_come_out_again() -> None:
    row = re.search(r"^\| the quickstart's answers \| ([\d,]+) \| ([\d,]+) \| ([\d.]+) \|", CARD, re.MULTILINE)
    assert row, "the card has no row about the quickstart's answers"
    count, size, bits = row.groups()
    texts = starter_bits.texts_of(f"quickstart={{path: {BUNDLED}}}", 0)
    assert (f"{len(texts.texts):,}", f"{texts.bytes:,}") == (count, size)
    _, system = starter.load(starter.STARTER, 512)
    assert starter_bits.of_model(system, texts) == pytest.approx(float(bits), abs=0.002)
