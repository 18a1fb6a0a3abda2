"""The systems that stand side by side in every table: loaded one at a time, so that memory holds one model only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from transformers import PreTrainedModel

from pakar.models import prompt, tuned
from pakar.models.base import BaseModel, device
from pakar.models.prompt import Renderer
from pakar.run import Run

SystemName = Literal["base", "tuned"]
SYSTEMS: tuple[SystemName, ...] = get_args(SystemName)
"""In the order of evaluation. Every other system is compared with the first one."""


@dataclass(frozen=True)
class System:
    """A model and the way its prompts are rendered.

    Attributes:
        name: As in the file names and in metrics.json.
        model: In evaluation mode, on the device that computes.
        renderer: The one that this model was trained with.
        context_tokens: Longest sequence that it is shown.
    """

    name: SystemName
    model: PreTrainedModel
    renderer: Renderer
    context_tokens: int


def context_tokens(run: Run, base: BaseModel) -> int:
    """Longest sequence that every system is shown: the recipe's wish, within the architecture's limit."""
    return min(run.recipe.model.context_tokens, base.context_limit())


def renderer(name: SystemName, run: Run, base: BaseModel) -> Renderer:
    """The renderer of one system; loads a tokenizer and no weights."""
    system_prompt = run.recipe.model.system_prompt
    if name == "base":
        return prompt.renderer(base.tokenizer(), system_prompt)
    return tuned.prompt_renderer(run.model_dir, system_prompt)


def load(name: SystemName, run: Run, base: BaseModel) -> System:
    """One system, ready to compute."""
    model = base.load() if name == "base" else tuned.load(run.model_dir, base)
    model.to(device())  # type: ignore[arg-type]
    return System(name, model, renderer(name, run, base), context_tokens(run, base))
