"""`model`: the weights that training starts from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pakar.recipe.section import EXACT, Section


class Model(Section):
    """The base model: the weights that training starts from."""

    base: str = "starter"
    """`starter` (bundled, no download), a local directory in Hugging Face layout, or a hub id such as `gpt2`."""
    revision: str | None = None
    """Commit, tag or branch of a hub model. Empty: the newest, and the run records which one it was."""
    context_tokens: Annotated[int, EXACT, Field(ge=16)] = 512
    """Longest example in tokens, prompt and answer together. Never more than the model's own limit."""
    system_prompt: str = ""
    """Put before every conversation that has no system message of its own, in training, evaluation and chat alike."""
