"""Find and load the base model: the bundled `starter`, a local directory, or a hub id.

A directory is looked at before any library loads it: weights must be safetensors, which hold numbers only; pickled
weights can run code and are refused. No code that comes with a model is ever run (`trust_remote_code` stays off).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from pakar import files, recipe
from pakar.errors import RecipeError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

STARTER = Path(__file__).parent.parent / "starter"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
_IDENTITY_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")


@dataclass(frozen=True)
class BaseModel:
    """A base model on this disk.

    Attributes:
        name: As the recipe names it.
        directory: Where its files are.
        revision: Commit of a hub model, else empty.
    """

    name: str
    directory: Path
    revision: str = ""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the names and bytes of weights, configuration and tokenizer."""
        paths = {path for pattern in _IDENTITY_FILES for path in self.directory.glob(pattern)}
        return files.tree_sha256(paths, self.directory)

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, as it comes."""
        tokenizer = AutoTokenizer.from_pretrained(self.directory, local_files_only=True)
        assert isinstance(tokenizer, PreTrainedTokenizerBase)  # noqa: S101 - narrows a type for the checker
        return tokenizer

    def context_limit(self) -> int:
        """Most tokens that the architecture can attend to, prompt and answer together."""
        config = AutoConfig.from_pretrained(self.directory, local_files_only=True)
        found = (getattr(config, name, None) for name in ("max_position_embeddings", "n_positions", "seq_length"))
        return next((int(limit) for limit in found if limit), 2**31)

    def load(self, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
        """The weights, on the CPU, without dropout, in `dtype`."""
        from transformers import PreTrainedModel  # noqa: PLC0415 - takes two seconds, and workers of preparation never need it

        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        model: Any = AutoModelForCausalLM.from_pretrained(self.directory, dtype=dtype, local_files_only=True)
        assert isinstance(model, PreTrainedModel)  # noqa: S101 - narrows a type for the checker
        model.eval()  # type: ignore[no-untyped-call]
        return model


def find(model: recipe.Model) -> BaseModel:
    """The base model that the recipe names.

    Raises:
        RecipeError: it is not there, or is not a model.
    """
    if model.base == "starter":
        return BaseModel("starter", STARTER)
    path = Path(model.base)
    if path.is_absolute():
        _check_directory(path)
        return BaseModel(model.base, path)
    return _from_hub(model.base, model.revision)


def device() -> torch.device:
    """Where to compute: the first GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _check_directory(path: Path) -> None:
    """Refuse what is not a model directory, telling what is missing and what is there."""
    if not path.exists():
        raise RecipeError(f"model.base: there is no directory {path}",
                          next_step="name an existing directory, a hub id such as gpt2, or `starter`.")  # fmt: skip
    if not path.is_dir():
        raise RecipeError(
            f"model.base: {path} is a file; expected the directory that holds config.json and the weights"
        )
    missing = [] if (path / "config.json").exists() else ["config.json"]
    if not list(path.glob("*.safetensors")):
        missing.append("weights as *.safetensors")
    if not any((path / name).exists() for name in TOKENIZER_FILES):
        missing.append(f"a tokenizer ({', '.join(TOKENIZER_FILES)})")
    if missing:
        there = ", ".join(sorted(p.name for p in path.iterdir())[:12]) or "nothing"
        pickled = " Pickled weights (.bin, .pt) are not read: they can run code." if list(path.glob("*.bin")) else ""
        raise RecipeError(f"model.base: {path} is not a model. Missing: {'; '.join(missing)}. There is: {there}.{pickled}",
                          next_step="give the directory of a complete model in Hugging Face layout, or `starter`.")  # fmt: skip


def _from_hub(name: str, revision: str | None) -> BaseModel:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - this is the hub's one door
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError  # noqa: PLC0415

    wanted = [*_IDENTITY_FILES, "*.tiktoken"]
    try:
        directory = Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise RecipeError(f"model.base: {name!r} is neither a local directory nor a model that can be fetched: {reason}",
                          next_step="check the name and the network, or use `starter`, which needs no download.") from None  # fmt: skip
    _check_directory(directory)
    return BaseModel(name, directory, revision=directory.name)


def parameter_counts(model: torch.nn.Module) -> tuple[int, int]:
    """(trainable, all) parameters; 4-bit tensors count by the numbers that they stand for."""
    trainable = total = 0
    for parameter in model.parameters():
        shape = getattr(getattr(parameter, "quant_state", None), "shape", parameter.shape)
        size = math.prod(shape)
        total += size
        trainable += size if parameter.requires_grad else 0
    return trainable, total
