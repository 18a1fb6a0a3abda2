"""The recogniser that comes with Pakar; its model card is `README.md` beside it."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

import safetensors.numpy

from pakar.errors import DataError
from pakar.prepare.names.spans import NameRecogniser
from pakar.prepare.names.tagger import Tagger

WEIGHTS = "weights.safetensors"
SHA256 = "7d8300e529297dae083ad4e06f024eba40b18b0b548d75bb754a3ee97a80d1e3"


@cache
def bundled() -> NameRecogniser:
    """The bundled recogniser, read once.

    Raises:
        DataError: The weights are missing or not those that belong to this version.
    """
    return Tagger(safetensors.numpy.load(_verified()))


def _verified() -> bytes:
    path = files("pakar.prepare.names") / WEIGHTS
    content = path.read_bytes() if path.is_file() else b""
    if (found := hashlib.sha256(content).hexdigest()) != SHA256:
        raise DataError(
            f"The bundled name recogniser is not the one of this version: {path} has the SHA-256 {found}, expected {SHA256}.",
            next_step="pip install --force-reinstall pakar",
        )
    return content
