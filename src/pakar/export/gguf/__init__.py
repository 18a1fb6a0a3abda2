"""GGUF, the file format of llama.cpp: weights, settings and tokenizer in one file.

`architectures` says how a model's settings and tensors are laid out there, `vocabulary` writes its tokenizer, `write`
puts both into the file, and `read` compares what the file holds with the model. Every figure in the file comes from the model
given; nothing is guessed.
"""

from __future__ import annotations

from pakar.export.gguf.architectures import SUPPORTED, check
from pakar.export.gguf.read import check as check_written
from pakar.export.gguf.read import readable_by_transformers
from pakar.export.gguf.write import round_weights, size, write

__all__ = ["SUPPORTED", "check", "check_written", "readable_by_transformers", "round_weights", "size", "write"]
