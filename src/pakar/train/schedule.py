"""The learning rate's course."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pakar import recipe


@dataclass(frozen=True)
class Schedule:
    """Learning rate of every step: rises over the warm-up, then goes as `shape` says.

    Attributes:
        peak: Highest rate.
        total_steps: Steps if nothing stops early; cosine and linear reach zero behind the last one.
        warmup_steps: Steps in which the rate rises in a straight line.
        shape: `cosine` (Loshchilov and Hutter 2017), `linear`, `constant`, or `wsd`: constant, then 1 - √ over the last
            `decay_steps` (Hu et al. 2024; the root from Hägele et al. 2024).
        decay_steps: Only of `wsd`.
    """

    peak: float
    total_steps: int
    warmup_steps: int
    shape: str
    decay_steps: int = 0

    def at(self, step: int) -> float:
        """Learning rate of step `step` (from 0)."""
        if step < self.warmup_steps:
            return self.peak * (step + 1) / self.warmup_steps
        if self.shape == "constant":
            return self.peak
        begin = (
            self.warmup_steps if self.shape != "wsd" else max(self.warmup_steps, self.total_steps - self.decay_steps)
        )
        done = max(0.0, (step - begin) / max(1, self.total_steps - begin))
        falls = {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "wsd": 1 - math.sqrt(done)}
        return self.peak * falls[self.shape]


def scheduled(section: recipe.Train, total_steps: int) -> Schedule:
    """The course that the recipe asks for."""
    wanted = section.schedule
    warmup, decay = round(wanted.warmup * total_steps), round(wanted.decay * total_steps)
    return Schedule(section.learning_rate, total_steps, warmup, wanted.kind, decay)
