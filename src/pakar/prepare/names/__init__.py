"""Finding the names of people: a bundled tagger without downloads, or any token-classification model."""

from __future__ import annotations

from pakar.prepare.names.spans import NameRecogniser, Span
from pakar.prepare.names.stored import bundled

__all__ = ["NameRecogniser", "Span", "bundled", "from_model"]


def from_model(name_or_path: str) -> NameRecogniser:
    """A recogniser from a token-classification model with a person class; see `model.load`."""
    from pakar.prepare.names import model  # noqa: PLC0415 (torch is loaded by those who ask for a model)

    return model.load(name_or_path)
