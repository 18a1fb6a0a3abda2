"""`train`: from tokens to a tuned model. What only changes speed and memory stands in `compute`, never beside what is learnt."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from pakar.recipe.section import AS_WRITTEN, EXACT, Count, Section, Share

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]


class Full(Section):
    """Train all weights."""

    kind: Literal["full"] = "full"


class Adapter(Section):
    """What all low-rank adapters have in common."""

    rank: Count = 16
    """Width of the additions."""
    alpha: Count = 32
    """The additions are scaled by alpha / rank; with `rank_stabilised` by alpha / √rank."""
    dropout: Share = 0.05
    """Share of the additions' inputs that is dropped at random while training."""
    targets: Literal["all-linear"] | Names = "all-linear"
    """Module names that get additions, such as `[q_proj, v_proj]`; `all-linear` takes every linear layer but the output."""
    layers: tuple[Annotated[int, EXACT, Field(ge=0)], ...] | None = None
    """Numbers of the layers that get additions, from 0. Empty: all of them."""
    bias: Literal["none", "all", "lora-only"] = "none"
    """Which biases of the base model are trained too: none, all, or those of the modules with additions."""
    rank_stabilised: bool = False
    """Scale by the root of the rank, so that a high rank learns as fast as a low one (Kalajdzievski 2023)."""
    dora: bool = False
    """Train the length of every weight column apart from its direction (Liu et al. 2024). Slower."""


class Lora(Adapter):
    """Train low-rank additions to the weights and leave the base model as it is (Hu et al. 2021)."""

    kind: Literal["lora"] = "lora"


class Qlora(Adapter):
    """LoRA on a base model whose matrices are kept in 4 bits, so that it needs a quarter of the memory (Dettmers et al. 2023)."""

    kind: Literal["qlora"] = "qlora"
    double_quantisation: bool = True
    """Keep the scales of the 4-bit blocks in 8 bits: 0.37 bits less per weight."""
    compute: Precision = "auto"
    """Number format that the 4-bit matrices are unfolded to for every product. `auto`: that of `compute.precision`."""


Method = Annotated[Full | Lora | Qlora, Field(discriminator="kind")]


class AdamW(Section):
    """AdamW (Loshchilov and Hutter 2019)."""

    kind: Literal["adamw", "paged-adamw", "adamw-8bit", "paged-adamw-8bit"] = "adamw"
    """`8bit` keeps the moments in 8 bits (Dettmers et al. 2022); `paged` lets them move to the computer's memory when the GPU's is short."""
    weight_decay: Annotated[float, EXACT, Field(ge=0, le=1), AS_WRITTEN] = 0.01
    """Decoupled weight decay, on matrices only."""
    betas: tuple[Share, Share] = (0.9, 0.999)
    """How slowly the means of the gradients and of their squares move."""


class Muon(Section):
    """Muon (Jordan et al. 2024) for the matrices between the embeddings, AdamW for embeddings, output, norms and biases.

    Steps of the matrices are scaled to the size of AdamW's (Liu et al. 2025, section 2.2), so that one rate suits both.
    """

    kind: Literal["muon"] = "muon"
    momentum: Share = 0.95
    """How slowly the mean of the matrices' gradients moves."""
    weight_decay: Annotated[float, EXACT, Field(ge=0, le=1), AS_WRITTEN] = 0.1
    """Decoupled weight decay of the matrices; what AdamW trains has none."""
    betas: tuple[Share, Share] = (0.9, 0.95)
    """AdamW's, for all but the matrices."""
    others_learning_rate: Annotated[float, EXACT, Field(gt=0, le=1), AS_WRITTEN] | None = None
    """Peak learning rate of all but the matrices. Empty: `train.learning_rate`, as for the matrices."""


Optimizer = Annotated[AdamW | Muon, Field(discriminator="kind")]


class Schedule(Section):
    """How the learning rate moves: up over the warm-up, then as `kind` says."""

    kind: Literal["cosine", "linear", "constant", "wsd"] = "cosine"
    """`cosine` and `linear` fall to zero at the last step; `wsd` stays and falls over the last part, `decay` (Hu et al. 2024)."""
    warmup: Share = 0.05
    """Share of all steps in which the learning rate rises from zero."""
    decay: Share = 0.2
    """Only of `wsd`: share of all steps in which the learning rate falls, as one minus a square root."""


def _kind_alone(value: Any) -> Any:
    """`cosine` is short for `{kind: cosine}`."""
    return {"kind": value} if isinstance(value, str) else value


def _adamw_unless_said(value: Any) -> Any:
    """`{weight_decay: 0.1}` means AdamW's."""
    value = _kind_alone(value)
    return {"kind": "adamw", **value} if isinstance(value, dict) else value


class Compute(Section):
    """How the arithmetic is done: speed and memory. What is learnt stays the same but for rounding, and for which numbers dropout happens to drop."""

    precision: Precision = "auto"
    """Number format of the matrix products. `auto`: the fastest one that this hardware has in silicon and that trains safely."""
    micro_batch_tokens: Literal["auto"] | Annotated[int, EXACT, Field(ge=16)] = "auto"
    """Most tokens (padding included) in one forward pass. A step is cut into as many passes as needed. `auto`: as many as fit, found by trying the largest first."""
    packing: bool = True
    """Put several examples into one row, none of which sees another. Off: a row per example, padded to the longest of its pass."""
    gradient_checkpointing: Literal["auto"] | bool = "auto"
    """Compute activations again in the backward pass instead of keeping them. `auto`: only if they would not fit."""
    compile: Literal["auto"] | bool = "auto"
    """Fuse the model's operations with torch.compile. `auto`: if the training is long enough to win back the time that this takes."""


class Validation(Section):
    """When to look at the validation split, and when to stop."""

    every: Count | None = None
    """Steps between measurements of the validation loss. Empty: about twenty in all, fewer if they would take long."""
    patience: Annotated[int, EXACT, Field(ge=0)] = 3
    """Stop when the validation loss has not improved for so many measurements. 0: never stop early."""
    answers: Annotated[int, EXACT, Field(ge=0)] = 0
    """Questions of the validation split that the model answers at every measurement; the answers and their scores are kept."""


class Here(Section):
    """One process on this machine."""

    kind: Literal["here"] = "here"


class Processes(Section):
    """Several processes on this machine, one for each GPU: the same training, shared out."""

    kind: Literal["processes"] = "processes"
    count: Count | None = None
    """How many. Empty: one for each GPU, or one without."""
    sharding: Literal["none", "full"] = "none"
    """`none`: each process holds the whole model. `full`: weights, gradients and moments are spread over all (FSDP2)."""


class OnSpark(Section):
    """Several processes on the workers of a Spark cluster, started by its TorchDistributor."""

    kind: Literal["spark"] = "spark"
    master: str = "local[2]"
    """Address of the cluster."""
    count: Count = 2
    """Processes; on a cluster each needs a free task slot."""
    sharding: Literal["none", "full"] = "none"
    """See `processes`."""


Launch = Annotated[Here | Processes | OnSpark, Field(discriminator="kind")]


class Tokens(Section):
    """Steps of about so many tokens, whatever the lengths of the examples."""

    tokens: Annotated[int, EXACT, Field(ge=16)]
    """Tokens per optimizer step, over all processes together; prompts count, padding does not."""


def _rows_or_tokens(value: Any) -> str:
    return "section" if isinstance(value, dict | Tokens) else "rows"


BatchSize = Annotated[Annotated[Count, Tag("rows")] | Annotated[Tokens, Tag("section")], Discriminator(_rows_or_tokens)]


class Shuffled(Section):
    """Every pass over the rows in an order of its own."""

    kind: Literal["shuffled"] = "shuffled"


class TextThenConversations(Section):
    """Learn the language from running text first, and to answer last, while the rate of a `wsd` schedule falls; both are read in rounds of their own.

    As many tokens are read as `epochs` passes over all rows have, so what there is less of is read more often than what there is more of.
    """

    kind: Literal["text-then-conversations"] = "text-then-conversations"
    early: Share = 0.1
    """Share of the tokens before the rate falls that belong to conversations."""
    late: Share = 0.1
    """Share of the tokens while it falls that belong to running text, so that it is not forgotten."""


Order = Annotated[Shuffled | TextThenConversations, Field(discriminator="kind")]


class Train(Section):
    """From tokens to a tuned model."""

    method: Method = Lora()
    """How the weights are trained."""
    epochs: Count = 3
    """Passes over the training rows, at most: early stopping may end sooner."""
    batch_size: BatchSize = 16
    """Examples per optimizer step, over all processes together; or `{tokens: 16384}` for steps of as many tokens, which suits rows of very unlike length."""
    order: Annotated[Order, BeforeValidator(_kind_alone)] = Shuffled()
    """In which order rows are read."""
    learning_rate: Annotated[float, EXACT, Field(gt=0, le=1), AS_WRITTEN] = 2e-4
    """Peak learning rate."""
    schedule: Annotated[Schedule, BeforeValidator(_kind_alone)] = Schedule()
    """How the learning rate moves. `schedule: linear` is short for `{kind: linear}`."""
    optimizer: Annotated[Optimizer, BeforeValidator(_adamw_unless_said)] = AdamW()
    """What turns gradients into steps. `optimizer: adamw-8bit` is short for `{kind: adamw-8bit}`."""
    max_gradient_norm: Annotated[float, EXACT, Field(gt=0), AS_WRITTEN] = 1.0
    """Gradients are scaled down to this norm."""
    embedding_noise: Annotated[float, EXACT, Field(ge=0), AS_WRITTEN] = 0.0
    """Strength (alpha) of the noise added to word embeddings while training, against over-fitting (NEFTune, Jain et al. 2023). 5 is usual; 0: none."""
    validation: Validation = Validation()
    """When to look at the validation split, and when to stop."""
    checkpoint_every: Count = 50
    """Steps between checkpoints; an interrupted run goes on from the last one."""
    compute: Compute = Compute()
    """How the arithmetic is done."""
    launch: Launch = Here()
    """Where the processes run."""
    trackers: tuple[Literal["tensorboard", "mlflow"], ...] = ()
    """Programs that also get the metrics, in formats of their own beside metrics.jsonl."""

    @model_validator(mode="after")
    def _text_first_needs_a_falling_end(self) -> Train:
        if isinstance(self.order, TextThenConversations):
            in_rows = isinstance(self.batch_size, int)
            if self.schedule.kind != "wsd":
                raise ValueError(
                    f"order = {self.order.kind} turns to conversations where a wsd schedule begins to fall; "
                    f"schedule is {self.schedule.kind}; write `schedule: wsd`"
                )
            if in_rows:
                raise ValueError(
                    f"order = {self.order.kind} counts tokens; write `batch_size: {{tokens: N}}` instead of {self.batch_size}"
                )
        return self
