"""From a finished training to a directory that others can load. Reads top to bottom."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from transformers.utils import logging as transformers_logging

from pakar import files, progress, provenance
from pakar.export import card, hub, proof, request, weights
from pakar.export.hub import File
from pakar.export.proof import Proof
from pakar.export.request import Format, Request
from pakar.models import base as base_models
from pakar.models import origin, tuned
from pakar.models.base import BaseModel
from pakar.models.merge import Storage
from pakar.models.prompt import Renderer
from pakar.run import Run


class Exported(NamedTuple):
    """What was written.

    Attributes:
        directory: Where it is.
        format: Which kind.
        storage: Number format of the matrices; None for an adapter.
        proof: What was compared.
        files: All files of the directory.
    """

    directory: Path
    format: Format
    storage: Storage | None
    proof: Proof
    files: list[File]

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "directory": str(self.directory),
            "format": self.format,
            "dtype": self.storage,
            "proof": self.proof.as_json(),
            "files": [file._asdict() for file in self.files],
        }


def export(run: Run, wanted: Request) -> Exported:
    """Write the tuned model of a run, after proving that it is the one that was trained.

    Raises:
        UserError: the training has not finished, its files were changed since, or the model cannot be written as asked.
        QualityError: merging or rounding would change the model above the tolerance; nothing is written.
        ResourceError: the disk has too little room.
    """
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    # 1. Refuse what cannot be, before anything is computed.
    run.finished_model()
    directory = request.target(wanted, run)
    base = base_models.find(run.model)
    tuned.check(run.model_dir, base)
    request.check_model(run, wanted, base, directory)
    prompts = tuned.prompt_renderer(run.model_dir, run.recipe.model.system_prompt)
    talks = proof.conversations(run)
    with files.replacing_directory(directory) as temporary:
        # 2. Write the weights: an adapter as it is; anything else is read back and proved.
        if wanted.format == "adapter":
            storage, proved = None, proof.of_adapter(prompts, talks)
            weights.write_adapter(run.model_dir, temporary, base)
        else:
            storage = request.storage_of(wanted, base)
            progress.note(f"export: writing in {storage}, and comparing what was written with the model as trained")
            kind = weights.as_gguf if wanted.format == "gguf" else weights.merged
            write = partial(kind, run, temporary, prompts, storage)
            proved = proof.prove(run.model_dir, base, prompts=prompts, talks=talks, storage=storage, write=write)
        # 3. Write what goes with them: tokenizer, template, origin, card.
        if wanted.format != "gguf":
            prompts.tokenizer.save_pretrained(str(temporary))
        files.write_json(temporary / origin.PROVENANCE, _origin(run, base, prompts, wanted.format, storage, proved))
        files.write_text(temporary / "README.md", card.card(run, base, wanted.format, storage, proved))
        if wanted.format != "gguf":
            tuned.prompt_renderer(temporary, prompts.system_prompt)  # refuses what renders other prompts
    return Exported(directory, wanted.format, storage, proved, hub.listing(directory))


def _origin(run: Run, base: BaseModel, prompts: Renderer, format_name: Format, storage: Storage | None, proved: Proof) -> dict[str, Any]:  # fmt: skip
    """The content of pakar.json: where the model comes from. No path of this machine."""
    record = run.record("train")
    known = origin.read(run.model_dir)
    kept = (
        "base_revision",
        "base_fingerprint",
        "prompt_fingerprint",
        "system_prompt",
        "end_id",
        "context_tokens",
        "method",
    )
    return {
        "export": format_name,
        "dtype": storage,
        "name": run.recipe.name,
        "base": card.public_name(base),
        **{name: known[name] for name in kept if name in known},
        "end_token": prompts.tokenizer.convert_ids_to_tokens(prompts.end_id),
        "adapter_or_model_fingerprint": record["outputs"]["model"],
        "data_fingerprint": record["inputs"].get("prepared data"),
        "recipe_fingerprint": run.provenance.get("recipe_fingerprint"),
        "versions": provenance.versions(),
        "proof": proved.as_json(),
    }
