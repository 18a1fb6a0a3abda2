"""`pakar.json` in a model directory: what the model was trained from, how, and how its prompts are rendered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from pakar.errors import RecipeError, UserError
from pakar.models.intake import finding, layout
from pakar.models.prompt import Renderer, renderer

PROVENANCE = "pakar.json"
"""In every model directory that Pakar wrote."""


def read(directory: Path) -> dict[str, Any]:
    """The content of `pakar.json`; empty where there is none."""
    return finding.read(directory / PROVENANCE, layout.BESIDE[PROVENANCE])[0] or {}


def checked_renderer(directory: Path, system_prompt: str, tokenizer: PreTrainedTokenizerBase) -> Renderer:
    """The renderer of a model directory, if it is still the one of the training.

    Args:
        directory: Holds `pakar.json`.
        system_prompt: The one of the training, which the fingerprint covers.
        tokenizer: The one in the directory.

    Raises:
        UserError: tokenizer or template in the directory are not those of the training any more.
    """
    try:
        found: Renderer | None = renderer(tokenizer, system_prompt)
    except RecipeError:  # the template of the training could be used
        found = None
    if found is None or found.fingerprint != read(directory).get("prompt_fingerprint"):
        raise UserError(
            f"the chat template or the tokenizer in {directory} differs from the one used in training, so the model would be "
            "asked in another form than it learnt",
            next_step="restore chat_template.jinja and the tokenizer files as Pakar wrote them, or write them anew: "
            "`pakar train` for a run, `pakar export` for an exported model.",
        )
    return found


def check(directory: Path, tokenizer: Callable[[Path], PreTrainedTokenizerBase]) -> None:
    """Refuse an exported model whose prompts would be rendered otherwise than in its training.

    Directories without `pakar.json` come from elsewhere and pass.

    Args:
        directory: That of a model.
        tokenizer: Loads the one in a directory.

    Raises:
        UserError: see `checked_renderer`.
    """
    known = read(directory)
    if "prompt_fingerprint" in known:
        checked_renderer(directory, str(known.get("system_prompt", "")), tokenizer(directory))
