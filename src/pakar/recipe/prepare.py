"""`prepare`: from raw files to clean, split, tokenised examples."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from pakar.recipe.operators import DEFAULT, Operator
from pakar.recipe.section import AS_WRITTEN, EXACT, Count, Portion, Section, Share
from pakar.recipe.sources import Source


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


class Local(Section):
    """On this machine, in several processes."""

    kind: Literal["local"] = "local"
    workers: Count | None = None
    """Processes. Empty: one per core, fewer if memory is short."""


class Spark(Section):
    """On Apache Spark, by the same code; needs `pip install pakar[spark]` and Java 17 or newer."""

    kind: Literal["spark"] = "spark"
    master: str = "local[*]"
    """`local[N]`, `spark://HOST:7077`, `yarn`, `k8s://…`, or `sc://HOST:15002` for Spark Connect."""
    settings: dict[str, str] = Field(default_factory=dict)
    """Passed to Spark as they are, such as `spark.executor.memory: 4g`."""


def _local_unless_said(value: Any) -> Any:
    """`{workers: 1}` means what `{kind: local, workers: 1}` means."""
    return {"kind": "local", **value} if isinstance(value, dict) and "master" not in value else value


Executor = Annotated[Annotated[Local | Spark, Field(discriminator="kind")], BeforeValidator(_local_unless_said)]


class NearDuplicates(Section):
    """Rows whose words are nearly the same: one of them is kept, and none straddles training and test."""

    similarity: Annotated[float, EXACT, Field(ge=0.5, lt=1), AS_WRITTEN] = 0.8
    """Jaccard similarity of the rows' runs of five words from which on two rows count as nearly the same."""
    treatment: Literal["reject", "keep", "ignore"] = "reject"
    """Keep the one with the most words and reject the others; keep all, in the same split; or do not look for them."""


class Sample(Section):
    """Exactly so many rows, chosen by seed and content after cleaning: whatever the order of the rows, the same ones."""

    rows: Count
    """How many."""
    stratify: bool = False
    """Keep the shares of the sources' labels (`prepare.sources[].label`)."""


class NoAugmentation(Section):
    """Train on the rows as they are."""

    kind: Literal["none"] = "none"


class Rephrase(Section):
    """Re-phrase the questions of training rows by rules ("How can I …" → "What are ways to …"); answers stay."""

    kind: Literal["rephrase"] = "rephrase"
    copies: Annotated[int, EXACT, Field(ge=1, le=10)] = 2
    """At most so many re-phrasings of each training row."""


class Paraphrase(Section):
    """Re-phrase the questions of training rows with a sequence-to-sequence model that was trained for it; answers stay."""

    kind: Literal["paraphrase"] = "paraphrase"
    model: str
    """Local directory or hub id of the model."""
    prompt: str = "paraphrase: {question}"
    """What the model is given; `{question}` is put in."""
    copies: Annotated[int, EXACT, Field(ge=1, le=10)] = 2
    """At most so many re-phrasings of each training row."""

    @model_validator(mode="after")
    def _prompt_has_a_place_for_the_question(self) -> Paraphrase:
        if "{question}" not in self.prompt:
            raise ValueError(
                f"prompt = {self.prompt!r} has no place for the question; write {{question}} where it belongs"
            )
        return self


class BackTranslation(Section):
    """Re-phrase the questions of training rows by translating them into another language and back; answers stay."""

    kind: Literal["back-translation"] = "back-translation"
    there: str
    """Local directory or hub id of the model that translates into the other language."""
    back: str
    """The model that translates back."""
    copies: Annotated[int, EXACT, Field(ge=1, le=10)] = 2
    """At most so many re-phrasings of each training row."""


Augment = Annotated[NoAugmentation | Rephrase | Paraphrase | BackTranslation, Field(discriminator="kind")]


class Prepare(Section):
    """From raw files to clean, split, tokenised examples."""

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    """Files and folders, read in this order."""
    executor: Executor = Local()
    """Where the work is done. The outcome is the same."""
    operators: Annotated[tuple[Operator, ...], Field(max_length=60)] = DEFAULT
    """What is done to every row, in this order. Naming any replaces the whole default list."""
    duplicates: Literal["reject", "keep"] = "reject"
    """What becomes of a row whose messages all equal those of another row: the first one stays, or all do."""
    near_duplicates: NearDuplicates = NearDuplicates()
    """What becomes of rows that are nearly the same."""
    sample: Sample | None = None
    """Use only so many rows. Empty: all."""
    too_long: Literal["truncate", "reject", "split"] = "truncate"
    """What becomes of a conversation over `model.context_tokens`: its end is cut (and counted), it is rejected, or it is split between its turns into several, each with the system message. Plain text is always cut into windows."""
    split: Split = Split()
    """Sizes of validation and test."""
    augment: Augment = NoAugmentation()
    """Extra training rows, made after the split and never counted as new evidence."""
    max_unreadable: Share = 0.05
    """Stop with an error when a larger share of the rows cannot be read (broken rows, not empty or repeated ones)."""
