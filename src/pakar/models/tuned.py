"""Load what training wrote: an adapter on its base model, or a whole model; and check that they belong together.

Evaluation, chat and export all load here, so they judge and hand on the very same weights.
"""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel

from pakar.errors import UserError
from pakar.models import intake, loading, merge, origin, versions
from pakar.models.base import BaseModel
from pakar.models.origin import PROVENANCE
from pakar.models.prompt import Renderer

__all__ = ["PROVENANCE", "check", "load", "prompt_renderer"]


def load(directory: Path, base: BaseModel) -> PreTrainedModel:
    """The tuned model in float32 on the CPU; an adapter is folded into its base as trained, see `merge`.

    Raises:
        UserError: the directory is not a finished model, or was trained from another base, or is not known to be harmless.
    """
    check(directory, base)
    return merge.merged(directory, base)


def check(directory: Path, base: BaseModel) -> None:
    """Refuse a directory that is not a finished model of this base, or not known to be harmless.

    Raises:
        UserError: see `load`.
    """
    versions.check()
    if not (directory / PROVENANCE).exists():
        raise UserError(f"{directory} holds no finished model", next_step="finish the training with `pakar run`.")
    if origin.read(directory)["base_fingerprint"] != base.fingerprint:
        raise UserError(f"{directory} was trained from another base model than {base.name} at {base.directory}",
                        next_step="run the training again: `pakar train`.")  # fmt: skip
    adapter = (directory / "adapter_config.json").exists()
    names = (base.name, str(base.directory), base.directory.name)
    intake.refuse(directory, "the tuned model", base=names if adapter else None)


def prompt_renderer(directory: Path, system_prompt: str) -> Renderer:
    """The renderer that the model was trained with.

    Raises:
        UserError: tokenizer or template in the directory are not those of the training any more, or not harmless.
    """
    intake.refuse_tokenizer(directory, "the tuned model's tokenizer")
    return origin.checked_renderer(directory, system_prompt, loading.tokenizer(directory))
