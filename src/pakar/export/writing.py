"""From a finished training to a directory that others can load. Reads top to bottom."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import GenerationConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from pakar import files, progress, provenance
from pakar.export import card, gguf, hub, proof, request
from pakar.export.hub import File
from pakar.export.proof import Proof
from pakar.export.request import Format, Request
from pakar.models import base as base_models
from pakar.models import origin, tuned
from pakar.models.base import BaseModel
from pakar.models.merge import Storage
from pakar.models.prompt import Renderer
from pakar.run import Run

SHARD_SIZE = "5GB"
"""Largest weight file of a merged model; the hub's own advice."""


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
        UserError: the training has not finished, or the model cannot be written as asked.
        QualityError: merging or rounding would change the model above the tolerance; nothing is written.
        ResourceError: the disk has too little room.
    """
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    # 1. Refuse what cannot be, before anything is computed.
    run.record("train")
    directory = request.target(wanted, run)
    base = base_models.find(run.recipe.model)
    tuned.check(run.model_dir, base)
    request.check_model(run, wanted, base, directory)
    prompts = tuned.prompt_renderer(run.model_dir, run.recipe.model.system_prompt)
    talks = proof.conversations(run)
    with files.replacing_directory(directory) as temporary:
        # 2. Write the weights: an adapter as it is, anything else after the proof.
        if wanted.format == "adapter":
            storage, proved = None, Proof(len(talks), None, None, proof.alike(prompts, talks))
            _write_adapter(run.model_dir, temporary, base)
        else:
            storage = request.storage_of(wanted, base)
            progress.note(f"export: comparing the model as trained with what will be stored in {storage}")
            for_gguf = wanted.format == "gguf"
            model, proved = proof.prove(run.model_dir, base, prompts, talks, storage, for_gguf=for_gguf)
            _write_model(run, temporary, model, prompts, storage, for_gguf=for_gguf)
        # 3. Write what goes with them: tokenizer, template, origin, card.
        if wanted.format != "gguf":
            prompts.tokenizer.save_pretrained(str(temporary))
        files.write_json(temporary / origin.PROVENANCE, _origin(run, base, prompts, wanted.format, storage, proved))
        files.write_text(temporary / "README.md", card.card(run, base, wanted.format, storage, proved))
    return Exported(directory, wanted.format, storage, proved, hub.listing(directory))


def generation_config(run: Run, prompts: Renderer) -> GenerationConfig:
    """How answers are generated: as in the evaluation, and ended by the token that the model learnt to end with."""
    sampling, tokenizer = run.recipe.evaluate.sampling, prompts.tokenizer
    drawn = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p}
    ends = [prompts.end_id, *({tokenizer.eos_token_id} - {prompts.end_id, None})]
    pad = tokenizer.pad_token_id
    return GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=ends if len(ends) > 1 else ends[0],
        pad_token_id=prompts.end_id if pad is None else pad,
        max_new_tokens=sampling.max_tokens,
        repetition_penalty=sampling.repetition_penalty,
        **(drawn if sampling.temperature > 0 else {"do_sample": False}),
    )


def _write_adapter(model_dir: Path, to: Path, base: BaseModel) -> None:
    """The adapter's weights and configuration; the base is named as others know it, never by a path on this machine."""
    for path in sorted(model_dir.glob("adapter_model*.safetensors*")):
        shutil.copyfile(path, to / path.name)
    config = files.read_json(model_dir / "adapter_config.json")
    config |= {"base_model_name_or_path": card.public_name(base), "revision": base.revision or None}
    files.write_json(to / "adapter_config.json", config)


def _write_model(run: Run, to: Path, model: PreTrainedModel, prompts: Renderer, storage: Storage, *, for_gguf: bool) -> None:  # fmt: skip
    if for_gguf:
        gguf.write(to / f"{run.recipe.name}-{storage}.gguf", model, prompts, storage, run.recipe.name)
        return
    kept: Any = model.to(getattr(torch, storage))
    kept.config._name_or_path = run.recipe.name  # else a path on this machine
    kept.config.eos_token_id = prompts.end_id
    kept.generation_config = generation_config(run, prompts)
    kept.save_pretrained(str(to), max_shard_size=SHARD_SIZE)


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
