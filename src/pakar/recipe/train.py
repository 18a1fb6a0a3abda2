"""`train`: from tokens to a tuned model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pakar.recipe.section import AS_WRITTEN, EXACT, Count, Section, Share


class Full(Section):
    """Train all weights."""

    kind: Literal["full"] = "full"


class Lora(Section):
    """Train low-rank additions to the weights and leave the base model as it is (Hu et al. 2021)."""

    kind: Literal["lora"] = "lora"
    rank: Count = 16
    """Width of the additions."""
    alpha: Count = 32
    """The additions are scaled by alpha / rank."""
    dropout: Share = 0.05
    """Share of the additions' inputs that is dropped at random while training."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Module names that get additions, such as `[q_proj, v_proj]`; `all-linear` takes every linear layer but the output."""


Method = Annotated[Full | Lora, Field(discriminator="kind")]


class Train(Section):
    """From tokens to a tuned model."""

    method: Method = Lora()
    """How the weights are trained."""
    epochs: Count = 3
    """Passes over the training rows, at most: early stopping may end sooner."""
    batch_size: Count = 16
    """Examples per optimizer step."""
    micro_batch_tokens: Annotated[int, EXACT, Field(ge=16)] = 4096
    """Most tokens (padding included) in one forward pass. A step is cut into as many passes as needed; the result is the same."""
    learning_rate: Annotated[float, EXACT, Field(gt=0, le=1), AS_WRITTEN] = 2e-4
    """Peak learning rate of AdamW."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls after the warm-up: to zero at the last epoch's end, or not at all."""
    warmup: Share = 0.05
    """Share of all steps in which the learning rate rises from zero."""
    weight_decay: Annotated[float, EXACT, Field(ge=0, le=1), AS_WRITTEN] = 0.01
    """AdamW's decoupled weight decay, on matrices only."""
    max_gradient_norm: Annotated[float, EXACT, Field(gt=0), AS_WRITTEN] = 1.0
    """Gradients are scaled down to this norm."""
    validate_every: Count | None = None
    """Steps between measurements of the validation loss. Empty: about twenty in all, fewer if they would take long."""
    patience: Annotated[int, EXACT, Field(ge=0)] = 3
    """Stop when the validation loss has not improved for so many measurements. 0: never stop early."""
    checkpoint_every: Count = 50
    """Steps between checkpoints; an interrupted run goes on from the last one."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the matrix products. `auto`: the fastest one that this hardware has in silicon."""
