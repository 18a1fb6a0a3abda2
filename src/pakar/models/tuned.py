"""Load what training wrote: an adapter on its base model, or a whole model; and check that they belong together."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from pakar import files
from pakar.errors import UserError
from pakar.models.base import BaseModel
from pakar.models.prompt import Renderer, renderer

PROVENANCE = "pakar.json"
"""In a model directory: what it was trained from and how its prompts are rendered."""


def load(directory: Path, base: BaseModel) -> PreTrainedModel:
    """The tuned model in float32 on the CPU; an adapter is folded into its base weights for speed.

    Raises:
        UserError: the directory is not a finished model, or was trained from another base.
    """
    if not (directory / PROVENANCE).exists():
        raise UserError(f"{directory} holds no finished model", next_step="finish the training with `pakar run`.")
    trained_from = files.read_json(directory / PROVENANCE)["base_fingerprint"]
    if trained_from != base.fingerprint:
        raise UserError(f"{directory} was trained from another base model than {base.name} at {base.directory}",
                        next_step="run the training again: `pakar train`.")  # fmt: skip
    if (directory / "adapter_config.json").exists():
        model = PeftModel.from_pretrained(base.load(), str(directory)).merge_and_unload()
    else:
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, local_files_only=True)
    assert isinstance(model, PreTrainedModel)  # noqa: S101 - narrows a type for the checker
    model.eval()  # type: ignore[no-untyped-call]
    return model


def prompt_renderer(directory: Path, system_prompt: str) -> Renderer:
    """The renderer that the model was trained with.

    Raises:
        UserError: tokenizer or template in the directory are not those of the training any more.
    """
    found = renderer(AutoTokenizer.from_pretrained(directory, local_files_only=True), system_prompt)
    if found.fingerprint != files.read_json(directory / PROVENANCE)["prompt_fingerprint"]:
        raise UserError(f"the prompt template or tokenizer in {directory} differs from the one used in training",
                        next_step="restore the directory, or train again: `pakar train`.")  # fmt: skip
    return found
