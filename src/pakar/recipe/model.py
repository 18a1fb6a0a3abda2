"""`model`: the weights that training starts from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pakar.recipe.section import EXACT, Count, Section

MADE = "made"
"""What `model.base` is called where the run makes its base model itself."""


class Llama(Section):
    """A decoder as in Llama (Touvron et al. 2023), from random weights, with a tokenizer that is learnt from the sources."""

    kind: Literal["llama"] = "llama"
    layers: Count = 6
    """Blocks of attention and feed-forward."""
    width: Count = 192
    """Numbers that stand for a token between the blocks."""
    heads: Count = 6
    """Attention heads; `width` is parted among them."""
    key_heads: Count | None = None
    """Heads of keys and values, each shared by several of `heads` (Ainslie et al. 2023). Empty: as many as `heads`."""
    feed_forward: Count | None = None
    """Inner width of the feed-forward part. Empty: 8/3 of `width`, as with Llama, up to the next multiple of 64."""
    vocabulary: Annotated[int, EXACT, Field(ge=512)] = 6144
    """Entries of the tokenizer: the 256 bytes, the marks of the chat template, and what byte-level BPE learns."""
    tie_embeddings: bool = True
    """Use one matrix both to look tokens up and to predict them: a small model is mostly that matrix."""
    tokenizer_characters: Count = 40_000_000
    """The tokenizer is learnt from so many characters of the sources at most, drawn by seed."""

    @property
    def inner_width(self) -> int:
        """Inner width of the feed-forward part."""
        return self.feed_forward or -(-8 * self.width // (3 * 64)) * 64

    @model_validator(mode="after")
    def _heads_fit(self) -> Llama:
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width = {self.width} cannot be parted among heads = {self.heads} in even parts; "
                f"write a multiple of {2 * self.heads}"
            )
        if self.heads % (self.key_heads or self.heads):
            raise ValueError(f"heads = {self.heads} is no multiple of key_heads = {self.key_heads}")
        return self


class Model(Section):
    """The base model: the weights that training starts from."""

    base: str = "starter"
    """`starter` (bundled, no download), a local directory in Hugging Face layout, or a hub id such as `gpt2`. With an `architecture` leave it out."""
    architecture: Llama | None = None
    """Start from random weights of this shape instead, with a tokenizer of their own: pre-training from scratch. Goes with `train.method.kind: full`."""
    revision: str | None = None
    """Commit, tag or branch of a hub model. Empty: the newest, and the run records which one it was."""
    context_tokens: Annotated[int, EXACT, Field(ge=16)] = 512
    """Longest example in tokens, prompt and answer together. Never more than the model's own limit; an `architecture` gets just this limit."""
    system_prompt: str = ""
    """Put before every conversation that has no system message of its own, in training, evaluation and chat alike."""

    @model_validator(mode="before")
    @classmethod
    def _architecture_takes_the_place_of_a_base(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("architecture") is None:
            return values
        if values.get("base", MADE) != MADE or values.get("revision") is not None:
            raise ValueError("base and architecture exclude each other: leave out the one that is not meant")
        return {**values, "base": MADE}

    @model_validator(mode="after")
    def _made_needs_an_architecture(self) -> Model:
        if self.base == MADE and self.architecture is None:
            raise ValueError(f"base = {MADE} is made from an architecture; write `architecture: {{kind: llama}}`")
        return self
