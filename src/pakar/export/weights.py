"""Write the weights, and read them back as others will: the proof judges what is in the files, not what should be."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from pakar import files, machine, progress
from pakar.errors import QualityError
from pakar.export import card, gguf
from pakar.models.base import BaseModel
from pakar.models.configuration import NO_CODE
from pakar.models.merge import Storage
from pakar.models.prompt import Renderer
from pakar.run import Run

SHARD_SIZE = "5GB"
"""Largest weight file of a merged model; the hub's own advice."""
READING_GGUF = 8
"""Bytes a weight that transformers takes to read GGUF: it unfolds the whole file before it fills the model."""


def write_adapter(model_dir: Path, to: Path, base: BaseModel) -> None:
    """The adapter's weights and configuration; the base is named as others know it, never by a path on this machine."""
    for path in sorted(model_dir.glob("adapter_model*.safetensors*")):
        shutil.copyfile(path, to / path.name)
    config = files.read_json(model_dir / "adapter_config.json")
    config |= {"base_model_name_or_path": card.public_name(base), "revision": base.revision or None}
    files.write_json(to / "adapter_config.json", config)


def merged(run: Run, to: Path, prompts: Renderer, storage: Storage, model: PreTrainedModel) -> Iterator[PreTrainedModel]:  # fmt: skip
    """Write safetensors; then give the model as transformers loads it from there, in float32.

    Whoever calls this must not hold `model` any more, or both are in memory.

    Raises:
        QualityError: a weight in the files is another one than was to be written.
    """
    kept: Any = model.to(getattr(torch, storage))
    kept.config._name_or_path = run.recipe.name  # else a path on this machine
    kept.config.eos_token_id = prompts.end_id
    kept.generation_config = generation_config(run, prompts)
    expected = _digests(kept)
    kept.save_pretrained(str(to), max_shard_size=SHARD_SIZE)
    del kept, model
    load: Any = AutoModelForCausalLM.from_pretrained  # its types do not know that it can give two things
    read, told = load(to, dtype=getattr(torch, storage), use_safetensors=True, output_loading_info=True, **NO_CODE)  # fmt: skip
    found = _digests(read)
    wrong = {name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)}
    # What is missing was made up anew, perhaps alike: scales of norms begin as ones.
    wrong |= {str(name) for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for name in told.get(kind) or ()}  # fmt: skip
    if wrong:
        raise QualityError(f"the merged model, loaded again, does not hold the weights that were written: {', '.join(sorted(wrong)[:5])}",
                           next_step="this is a fault in Pakar or in transformers; please report it.")  # fmt: skip
    yield read.float().eval()


def as_gguf(run: Run, to: Path, prompts: Renderer, storage: Storage, model: PreTrainedModel) -> Iterator[PreTrainedModel]:  # fmt: skip
    """Write GGUF; then give the model with the weights that the file holds, and, where it can, as transformers reads it.

    Raises:
        QualityError: a tensor of the file is not the model's.
    """
    path = to / f"{run.recipe.name}-{storage}.gguf"
    gguf.write(path, model, prompts, storage, run.recipe.name)
    gguf.round_weights(model, storage)
    gguf.check_written(path, model, storage)
    readable, needed = gguf.readable_by_transformers(model.config), READING_GGUF * model.num_parameters()
    yield model
    del model
    if not readable:
        return
    if needed > machine.free_memory():
        progress.note(
            "export: too little memory is free to read the GGUF file with transformers, too; its tensors were compared"
        )
        return
    with redirect_stderr(StringIO()):  # it draws a bar of its own
        read: Any = AutoModelForCausalLM.from_pretrained(to, gguf_file=path.name, dtype=torch.float32, **NO_CODE)
    yield read.eval()


def generation_config(run: Run, prompts: Renderer) -> GenerationConfig:
    """How answers end: by the token that the model learnt to end with, at the latest where the evaluation ended them.

    How they are drawn is left to whoever asks, as with an adapter, so that both give the same; the card tells how it was measured.
    """
    tokenizer = prompts.tokenizer
    ends = [prompts.end_id, *({tokenizer.eos_token_id} - {prompts.end_id, None})]
    pad = tokenizer.pad_token_id
    return GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=ends if len(ends) > 1 else ends[0],
        pad_token_id=prompts.end_id if pad is None else pad,
        max_new_tokens=run.recipe.evaluate.sampling.max_tokens,
        do_sample=False,
    )


def _digests(model: PreTrainedModel) -> dict[str, str]:
    """SHA-256 of every weight, tied ones under each of their names. Every 16-bit number is a float32, so formats do not matter."""
    return {
        name: hashlib.sha256(weight.detach().float().contiguous().numpy().tobytes()).hexdigest()
        for name, weight in model.state_dict().items()
    }
