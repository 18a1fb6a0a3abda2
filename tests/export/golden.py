"""Write gguf_golden.json: settings and tensors of a GGUF file of every architecture, once llama.cpp has computed the same logits.

    python -m tests.export.golden

Needs llama-cpp-python, which the project does not: the file that it writes stands in for it in the tests.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from pakar.export import gguf
from pakar.models import merge
from pakar.models.prompt import renderer
from tests import tiny
from tests.export.shapes import ROWS, SHAPES, facts, model

CACHE_IN_16_BITS = 1e-4
"""Nats per token that llama.cpp may be off: it keeps keys and values in 16 bits."""


def divergence(path: Path, kind: str) -> float:
    """How far llama.cpp is from transformers, in nats per token."""
    llama: Any = importlib.import_module("llama_cpp")
    read = llama.Llama(str(path), n_ctx=128, logits_all=True, verbose=False, n_threads=1)
    read.eval(ROWS[0])
    return merge.compare(merge.logits(model(kind), ROWS), [torch.tensor(read.scores[: len(ROWS[0])])]).divergence


def main() -> None:
    found = {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.gguf"
        for kind in SHAPES:
            path.unlink(missing_ok=True)
            gguf.write(path, model(kind), renderer(tiny.tokenizer()), "float32", "phi3" if kind == "phi3" else "a")
            off = divergence(path, kind)
            sys.stderr.write(f"{kind:20} {off:.1e} nats per token\n")
            if off > CACHE_IN_16_BITS:
                raise SystemExit(f"llama.cpp computes something else from {kind}; nothing is written")
            found[kind] = facts(path)
    rows = ",\n".join(f"{json.dumps(kind)}: {json.dumps(one)}" for kind, one in found.items())
    Path(__file__).with_name("gguf_golden.json").write_text(f"{{\n{rows}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
