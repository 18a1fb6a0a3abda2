"""What the user asks for: the typed recipe. All defaults stand here and nowhere else.

A recipe is closed (unknown keys are errors) and frozen. Facts found at run time go to the Run, never here.
Reading a YAML file into it, and telling all that is wrong at once, is `recipe_file`'s work.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator

EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+", re.ASCII)


def _exponent(value: Any) -> Any:
    """YAML 1.1 takes `1e-3` for text, because it lacks the dot of `1.0e-3`; here it is a number."""
    return float(value) if isinstance(value, str) and EXPONENT.fullmatch(value) else value


def _whole_rows(value: float) -> float:
    return int(value) if value >= 1 and value == int(value) else value


# Numbers are strict: neither `true` nor "3" counts as 3, and 3.0 is not a whole number.
EXACT = Strict()
AS_WRITTEN = BeforeValidator(_exponent)
Share = Annotated[float, EXACT, Field(ge=0, lt=1), AS_WRITTEN]
Count = Annotated[int, EXACT, Field(ge=1)]
Portion = Annotated[float, EXACT, Field(ge=0), AfterValidator(_whole_rows), AS_WRITTEN]


class Section(BaseModel):
    """A part of the recipe: immutable, closed, its field docstrings are the reference."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _empty_section_means_defaults(cls, values: Any) -> Any:
        """`train:` with nothing below it is null in YAML; it means the same as leaving `train` out."""
        if not isinstance(values, dict):
            return values
        kept = dict(values)
        for name, field in cls.model_fields.items():
            if name in kept and kept[name] is None:
                if isinstance(field.default, Section):
                    del kept[name]
                elif isinstance(field.annotation, type) and issubclass(field.annotation, Section):
                    kept[name] = {}
        return kept


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


class AutoShape(Section):
    """Recognise the shape from the column names and a look at the rows."""

    kind: Literal["auto"] = "auto"


class PairsShape(Section):
    """One question and one answer a row, under any column names."""

    kind: Literal["pairs"] = "pairs"
    question: str
    """Column with the question, instruction or prompt."""
    answer: str
    """Column with the answer, output or completion."""
    context: str | None = None
    """Column that is added below the question when it is filled, such as Alpaca's `input`."""
    fallback: str | None = None
    """Column used as the question when the question is empty, such as a title."""
    system: str | None = None
    """Column with a system message."""


class MessagesShape(Section):
    """A list of messages a row: OpenAI `messages`, ShareGPT `conversations`."""

    kind: Literal["messages"] = "messages"
    column: str = "messages"
    """Column or key with the list."""
    role: str = "role"
    """Key of the speaker in each message (`from` in ShareGPT)."""
    content: str = "content"
    """Key of the text in each message (`value` in ShareGPT)."""


class IntentsShape(Section):
    """A rule bot's file: every pattern of an intent is paired with every response of it."""

    kind: Literal["intents"] = "intents"


class TextShape(Section):
    """Running text without questions; trained on as a whole."""

    kind: Literal["text"] = "text"
    column: str = "text"
    """Column with the text. Of a folder's files, the whole file."""


Shape = Annotated[
    AutoShape | PairsShape | MessagesShape | IntentsShape | TextShape,
    Field(discriminator="kind"),
]


class Source(Section):
    """One file or folder with data."""

    path: str
    """File or folder, relative to the recipe file. Compressed files (.gz, .zst) are read as they are."""
    format: Literal["auto", "csv", "tsv", "json", "jsonl", "parquet", "excel", "folder", "text"] = "auto"
    """What kind of file. Empty or `auto`: told from the ending and the first bytes."""
    encoding: str = "auto"
    """Character encoding such as `utf-8` or `cp1252`. `auto`: byte order mark, else UTF-8, else the likeliest."""
    shape: Shape = AutoShape()
    """Where question and answer stand in a row."""


class Split(Section):
    """How much is kept apart for validation and test. Rows of one group (same question) stay together."""

    validation: Portion = 0.1
    """Below 1: share of the rows. 1 and above: number of rows. Chooses the best checkpoint and stops training early."""
    test: Portion = 0.1
    """Below 1: share of the rows. 1 and above: number of rows. Used once, for the reported figures."""

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> Split:
        if self.validation < 1 and self.test < 1 and self.validation + self.test >= 1:
            raise ValueError(
                f"validation + test = {self.validation + self.test:g} leaves nothing to train on; keep the sum below 1"
            )
        for name, value in (("validation", self.validation), ("test", self.test)):
            if value >= 1 and value != int(value):
                raise ValueError(f"{name} = {value} is neither a share (below 1) nor a whole number of rows")
        return self


class NoAugmentation(Section):
    """Train on the rows as they are."""

    kind: Literal["none"] = "none"


class Rephrase(Section):
    """Re-phrase the questions of training rows by rules ("How can I …" → "What are ways to …"); answers stay."""

    kind: Literal["rephrase"] = "rephrase"
    copies: Annotated[int, EXACT, Field(ge=1, le=10)] = 2
    """At most so many re-phrasings of each training row."""


Augment = Annotated[NoAugmentation | Rephrase, Field(discriminator="kind")]

Cleaner = Literal["encoding", "html", "control-characters", "white-space"]


class Prepare(Section):
    """From raw files to clean, split, tokenised examples."""

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    """Files and folders, read in this order."""
    clean: tuple[Cleaner, ...] = ("encoding", "html", "control-characters", "white-space")
    """Cleaning operators, applied to every message in this order. `encoding` mends text such as `donâ€™t`."""
    duplicates: Literal["reject", "keep"] = "reject"
    """What becomes of a row whose messages all equal those of another row: the first one stays, or all do."""
    too_long: Literal["truncate", "reject"] = "truncate"
    """What becomes of an example over `model.context_tokens`: its end is cut (and counted), or it is rejected."""
    split: Split = Split()
    """Sizes of validation and test."""
    augment: Augment = NoAugmentation()
    """Extra training rows, made after the split and never counted as new evidence."""
    max_unreadable: Share = 0.05
    """Stop with an error when a larger share of the rows cannot be read (broken rows, not empty or repeated ones)."""


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


class Sampling(Section):
    """How answers are drawn from the model."""

    max_tokens: Count = 128
    """Longest answer in tokens; one that reaches it did not end by itself, and is counted so."""
    temperature: Annotated[float, EXACT, Field(ge=0, le=2), AS_WRITTEN] = 0.0
    """0: always the likeliest token, repeatable. Higher: more varied."""
    top_p: Annotated[float, EXACT, Field(gt=0, le=1), AS_WRITTEN] = 1.0
    """Draw only from the likeliest tokens that together have this probability."""
    repetition_penalty: Annotated[float, EXACT, Field(ge=1, le=2), AS_WRITTEN] = 1.0
    """Above 1: tokens that were already used become less likely (Keskar et al. 2019). Same for every system."""


class Evaluate(Section):
    """Base and tuned model on the test split."""

    answers: Annotated[int, EXACT, Field(ge=0)] = 40
    """Answers generated per system: this many test examples, chosen by seed. The losses always use the whole test split."""
    sampling: Sampling = Sampling()
    """How the answers are generated; also what `pakar chat` starts with."""
    target_words: tuple[Count, Count] = (20, 40)
    """Wanted length of an answer in words, from and to."""
    confidence: Annotated[float, EXACT, Field(gt=0.5, lt=1), AS_WRITTEN] = 0.95
    """Level of the intervals."""
    resamples: Annotated[int, EXACT, Field(ge=100)] = 2000
    """Bootstrap resamples behind each interval."""
    batch_size: Count = 16
    """Conversations answered at once."""

    @model_validator(mode="after")
    def _range_is_ordered(self) -> Evaluate:
        if self.target_words[0] > self.target_words[1]:
            raise ValueError(f"target_words = {list(self.target_words)} runs backwards; write the smaller number first")
        return self


class Recipe(Section):
    """One file that says everything: `pakar run` needs nothing else."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    """Name of the run directory: letters, digits, dot, hyphen and underscore."""
    seed: Annotated[int, EXACT, Field(ge=0, lt=2**31)] = 1
    """Fixes every random choice: the split, the order of training, dropout, resampling."""
    model: Model = Model()
    prepare: Prepare
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
