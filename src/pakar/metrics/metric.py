"""What a metric is: a column of the scores, summed, over another column or the number of examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pakar.recipe import Evaluate

Floats = npt.NDArray[np.float64]


class Answer(Protocol):
    """What a metric sees of a generated answer, whoever keeps it."""

    @property
    def answer(self) -> str:
        """As the model wrote it."""
        ...

    @property
    def reference(self) -> str:
        """The answer that the data gives."""
        ...

    @property
    def stop_reason(self) -> str:
        """`end`: it ended by itself."""
        ...


AnswerColumn = Callable[[Answer, Evaluate], float]
"""One number (or truth value) for one generated answer; the recipe's section says what was wanted."""


@dataclass(frozen=True)
class Metric:
    """value = finish(sum of `column` / sum of `per`), over the examples that have `column` and a denominator above 0.

    Attributes:
        name: As in metrics.json.
        unit: Of the value.
        higher_is_better: None where neither is better.
        column: Numerator, a column of scores/<system>.jsonl.
        per: Denominator, another column. Empty: the number of examples, which makes the value a mean.
        finish: Applied to the ratio, and to each resampled ratio.
    """

    name: str
    unit: str
    higher_is_better: bool | None
    column: str
    per: str = ""
    finish: Callable[[Floats], Floats] = np.asarray
