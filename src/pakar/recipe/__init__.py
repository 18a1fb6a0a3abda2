"""What the user asks for: the typed recipe. All defaults stand in this package and nowhere else.

A recipe is closed (unknown keys are errors) and frozen. Facts found at run time go to the Run, never here.
Reading a YAML file into it, and telling all that is wrong at once, is `recipe_file`'s work.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from pakar.recipe.evaluate import Evaluate, Sampling
from pakar.recipe.model import Llama, Model
from pakar.recipe.operators import Operator
from pakar.recipe.prepare import (
    Augment,
    BackTranslation,
    Executor,
    Local,
    NearDuplicates,
    NoAugmentation,
    Paraphrase,
    Prepare,
    Rephrase,
    Sample,
    Spark,
    Split,
)
from pakar.recipe.section import EXACT, EXPONENT, Section
from pakar.recipe.sources import (
    AnyShape,
    AutoShape,
    IntentsShape,
    MessagesShape,
    PairsShape,
    Shape,
    Source,
    SquadShape,
    TextShape,
    TurnsShape,
)
from pakar.recipe.train import (
    AdamW,
    Adapter,
    Compute,
    Full,
    Here,
    Launch,
    Lora,
    Method,
    Muon,
    OnSpark,
    Optimizer,
    Order,
    Processes,
    Qlora,
    Schedule,
    Shuffled,
    TextThenConversations,
    Tokens,
    Train,
    Validation,
)

__all__ = [
    "EXPONENT", "AdamW", "Adapter", "AnyShape", "Augment", "AutoShape", "BackTranslation", "Compute", "Evaluate", "Executor", "Full", "Here", "IntentsShape", "Launch", "Llama", "Local", "Lora", "MessagesShape", "Method",
    "Model", "Muon", "NearDuplicates", "NoAugmentation", "OnSpark", "Operator", "Optimizer", "Order", "PairsShape", "Paraphrase", "Prepare", "Processes", "Qlora", "Recipe", "Rephrase", "Sample", "Sampling",
    "Schedule", "Section", "Shape", "Shuffled", "Source", "Spark", "Split", "SquadShape", "TextShape", "TextThenConversations", "Tokens", "Train", "TurnsShape", "Validation",
]  # fmt: skip


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

    @model_validator(mode="after")
    def _random_weights_are_all_trained(self) -> Recipe:
        if self.model.architecture is not None and self.train.method.kind != "full":
            raise ValueError(
                f"train.method.kind = {self.train.method.kind} leaves most weights as they are, and those of "
                "model.architecture are random; write train.method.kind: full"
            )
        return self
