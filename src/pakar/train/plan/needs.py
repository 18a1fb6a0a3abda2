"""What a recipe needs on a device, and what its `auto` values come to there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import torch

from pakar.models.architecture import Architecture
from pakar.models.configuration import context_limit
from pakar.recipe import Method, Recipe
from pakar.train import memory, precision
from pakar.train.plan import dry_run, weights
from pakar.train.plan.content import Setting
from pakar.train.plan.counter import Moment
from pakar.train.plan.devices import Device
from pakar.train.plan.memory import ACTIVATIONS, Memory, peak
from pakar.train.plan.spread import Spread, made_whole, memory_of, spread
from pakar.train.plan.weights import Weights
from pakar.train.plan.workload import Lengths, Workload, workload

FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Needs(NamedTuple):
    """What a recipe needs on a device."""

    setting: Setting
    memory: Memory


@dataclass
class Reckoner:
    """Reckons for one base model on one device; what was counted once is kept.

    Attributes:
        base: The architecture.
        device: Where training would run.
        data: What is known of the rows.
    """

    base: Architecture
    device: Device
    data: Lengths | None = None
    _weights: dict[str, Weights] = field(default_factory=dict)
    _moments: dict[tuple[str, dry_run.Pass], Mapping[str, Moment]] = field(default_factory=dict)

    def weights(self, method: Method) -> Weights:
        """Numbers of weights."""
        key = method.model_dump_json()
        if key not in self._weights:
            self._weights[key] = weights.count(self.base.config, method)
        return self._weights[key]

    def work(self, recipe: Recipe) -> Workload:
        """Rows, tokens, steps."""
        return workload(recipe, self.context_tokens(recipe), self.data)

    def context_tokens(self, recipe: Recipe) -> int:
        """Longest row."""
        return min(recipe.model.context_tokens, context_limit(self.base.config))

    def precision(self, recipe: Recipe) -> str:
        """Number format of the products, by the rule of the loop.

        Raises:
            RecipeError: the device cannot train with the one that the recipe asks for.
        """
        wanted = recipe.train.compute.precision
        return precision.settled(wanted, gpu=self.device.kind == "gpu", bfloat16=self.device.bfloat16)

    def spread(self, recipe: Recipe) -> Spread:
        """How several processes share the training."""
        return spread(recipe.train, self.device)

    def needs(self, recipe: Recipe) -> Needs:
        """Memory, with `auto` settled by the rule of the loop: the largest passes that fit without computing activations again."""
        wanted, saving = recipe.train.compute.micro_batch_tokens, recipe.train.compute.gradient_checkpointing
        work = self.work(recipe)
        most = self._most_tokens(work) if wanted == "auto" else wanted
        least = min(most, work.longest) if wanted == "auto" else most
        ladder = _halves(most, least)
        for checkpointing in (False, True) if saving == "auto" else (saving,):
            place = bisect_left(ladder, True, key=partial(self._fits, recipe, checkpointing=checkpointing))
            if place < len(ladder):
                return self._needs(recipe, ladder[place], checkpointing=checkpointing)
        return self._needs(recipe, least, checkpointing=saving is not False)

    def _most_tokens(self, work: Workload) -> int:
        if self.device.kind == "cpu":
            return memory.CPU_PASS_TOKENS
        return min(work.step_tokens, memory.GPU_PASS_TOKENS)

    def _fits(self, recipe: Recipe, tokens: int, *, checkpointing: bool) -> bool:
        """On a GPU all of it; on a CPU the loop leaves half of the free memory to others."""
        found = self._needs(recipe, tokens, checkpointing=checkpointing)
        if self.device.kind == "gpu":
            return found.memory.total <= self.device.memory
        kept = next(part.bytes for part in found.memory.components if part.name == ACTIVATIONS)
        return found.memory.total <= self.device.memory and memory.fits_beside(kept)

    def _needs(self, recipe: Recipe, tokens: int, *, checkpointing: bool) -> Needs:
        section, work = recipe.train, self.work(recipe)
        name = self.precision(recipe)
        largest = work.largest(tokens, packed=section.compute.packing)
        whole = made_whole(
            self.weights(section.method), int(self.base.config.num_hidden_layers), section, FORMATS[name]
        )
        found = []
        for rows, width, later in largest.shapes:
            supervised = max(1, round(rows * width * work.learnt))
            one = dry_run.Pass(rows, width, supervised, FORMATS[name], checkpointing, later, self.device.kind)
            taken = peak(
                self.weights(section.method), self._dry_run(section.method, one),
                section=section, precision=FORMATS[name], device=self.device,
            )  # fmt: skip
            setting = Setting(name, rows, width, largest.passes, checkpointing)
            found.append(Needs(setting, memory_of(taken, whole, self.spread(recipe))))
        return max(found, key=lambda needs: needs.memory.total)

    def _dry_run(self, method: Method, one: dry_run.Pass) -> Mapping[str, Moment]:
        key = (method.model_dump_json(), one)
        if key not in self._moments:
            self._moments[key] = dry_run.moments(self.base.config, method, one)
        return self._moments[key]


def _halves(most: int, least: int) -> list[int]:
    """`most`, its half, its quarter … down to `least`: the passes that the loop tries."""
    found = [max(most, least)]
    while found[-1] > least:
        found.append(max(least, found[-1] // 2))
    return found
