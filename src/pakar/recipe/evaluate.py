"""`evaluate`: base and tuned model on the test split."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from pakar.recipe.section import AS_WRITTEN, EXACT, Count, Section


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
