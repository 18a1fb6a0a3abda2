"""Find and load the base model: the bundled `starter`, a local directory, or a hub id.

A directory is looked at before any library loads it, see `pakar.models.intake`. No code that comes with a model is ever
run (`trust_remote_code` stays off).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from pakar import files, progress, recipe
from pakar.errors import RecipeError
from pakar.models import configuration, intake, loading, origin, versions
from pakar.models.quantise import FourBits, layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

STARTER = Path(__file__).parent.parent / "starter"
_COMMIT = re.compile("[0-9a-f]{40}")

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


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
        return files.tree_sha256(intake.read_files(self.directory), self.directory)

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, as it comes."""
        return loading.tokenizer(self.directory)

    def context_limit(self) -> int:
        """Most tokens that the architecture can attend to, prompt and answer together."""
        return configuration.context_limit(configuration.read(self.directory))

    @property
    def public_name(self) -> str:
        """What a file that may be given away calls this base: hub id or path; nothing for the bundled one, which is on no hub."""
        return "" if self.directory == STARTER else self.name

    def load(
        self, dtype: torch.dtype = torch.float32, *, four_bits: FourBits | None = None, to: torch.device | None = None
    ) -> PreTrainedModel:
        """The model, without dropout.

        Args:
            dtype: Number format of what is not in 4 bits.
            four_bits: Turn the blocks' matrices into 4 bits while they are read, one after the other, so that the whole
                model is never there in a larger format.
            to: Device that the weights are read to. Empty: the CPU.

        Raises:
            RecipeError: the files cannot be used, or lack weights; or 4 bits are asked for, and they hold quantised weights
                already, or no linear layers.
        """
        from transformers import PreTrainedModel  # noqa: PLC0415 - takes two seconds, and workers of preparation never need it

        if four_bits is not None:
            self.check_unquantised()
        how = {"dtype": dtype, "device_map": {"": to or torch.device("cpu")}}
        model = loading.read(
            AutoModelForCausalLM, self.directory, **how, quantization_config=four_bits and four_bits.loading()
        )
        assert isinstance(model, PreTrainedModel)  # noqa: S101 - narrows a type for the checker
        model.name_or_path = self.public_name
        if four_bits is not None and not layers(model):
            raise RecipeError(f"train.method.kind = qlora: {self.name} has no linear layers that can be kept in 4 bits",
                              next_step="use train.method.kind: lora.")  # fmt: skip
        return model

    def check_unquantised(self) -> None:
        """Refuse files whose weights are quantised already.

        Raises:
            RecipeError: they are.
        """
        config = files.read_json(self.directory / "config.json")
        how = config.get("quantization_config")
        if how is not None:
            kind = how.get("quant_method", "unknown") if isinstance(how, dict) else how
            raise RecipeError(f"model.base = {self.name}: its weights are quantised already (method: {kind}), and training needs the weights they were made from",
                              next_step="name the model that it was made from; `train.method.kind: qlora` keeps that in 4 bits while training.")  # fmt: skip


def find(model: recipe.Model) -> BaseModel:
    """The language model that the recipe names, after a look at its files.

    Raises:
        RecipeError: it is not there, is not a model, is not known to be harmless, or is not whole.
        UserError: an installed library is older than is safe.
    """
    found = locate(model)
    if found.directory != STARTER:
        loading.check(found.directory)
    return found


def locate(model: recipe.Model) -> BaseModel:
    """The same for a model of any kind, and for those who need nothing but its tokenizer.

    Raises:
        RecipeError: it is not there, is not a model, or is not known to be harmless.
        UserError: an installed library is older than is safe.
    """
    versions.check()
    if model.base == "starter":
        return BaseModel("starter", STARTER)
    path = Path(model.base)
    if path.is_absolute():
        _check_directory(path)
        origin.check(path, loading.tokenizer)
        return BaseModel(model.base, path)
    return _from_hub(model.base, model.revision)


def device() -> torch.device:
    """Where to compute: the first GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def check_there(path: Path) -> None:
    """Refuse a path that is no directory.

    Raises:
        RecipeError: it is so.
    """
    if not path.exists():
        raise RecipeError(f"model.base: there is no directory {path}",
                          next_step="name an existing directory, a hub id such as gpt2, or `starter`.")  # fmt: skip
    if not path.is_dir():
        raise RecipeError(
            f"model.base: {path} is a file; expected the directory that holds config.json and the weights"
        )


def _check_directory(path: Path) -> None:
    """Refuse what is not a model directory, telling what is missing and what is there."""
    check_there(path)
    missing = _missing(path)
    if missing:
        there = ", ".join(sorted(p.name for p in path.iterdir())[:12]) or "nothing"
        pickled = " Pickled weights (.bin, .pt) are not read: they can run code." if list(path.glob("*.bin")) else ""
        raise RecipeError(f"model.base: {path} is not a model. Missing: {'; '.join(missing)}. There is: {there}.{pickled}",
                          next_step="give the directory of a complete model in Hugging Face layout, or `starter`.")  # fmt: skip
    intake.refuse(path, f"model.base: {path}", error=RecipeError)
    if intake.NAMES_OF_CODE in files.read_json(path / "config.json"):
        _say_that_code_is_not_used(path)


def _missing(path: Path) -> list[str]:
    """What a model cannot do without, and is not there."""
    missing = [] if (path / "config.json").exists() else ["config.json"]
    if not intake.has_weights(path):
        missing.append("weights as model.safetensors, or as shards with model.safetensors.index.json")
    if not any((path / name).exists() for name in TOKENIZER_FILES):
        missing.append(f"a tokenizer ({', '.join(TOKENIZER_FILES)})")
    return missing


@cache
def _say_that_code_is_not_used(path: Path) -> None:
    progress.note(
        f"model.base: {path} names code of its own ({intake.NAMES_OF_CODE} in config.json), which is not used: transformers "
        "has this architecture built in"
    )


def _from_hub(name: str, revision: str | None) -> BaseModel:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - this is the hub's one door
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError  # noqa: PLC0415

    kept = _kept(name, revision)
    if kept is not None:
        return BaseModel(name, kept, revision=kept.name)
    try:
        directory = Path(snapshot_download(name, revision=revision, allow_patterns=intake.fetched()))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise RecipeError(f"model.base: {name!r} is neither a local directory nor a model that can be fetched: {reason}",
                          next_step="check the name and the network, or use `starter`, which needs no download.") from None  # fmt: skip
    _check_directory(directory)
    return BaseModel(name, directory, revision=directory.name)


def _kept(name: str, revision: str | None) -> Path | None:
    """A commit that is whole in the hub's cache: it cannot change, so nobody needs to be asked."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - see `_from_hub`
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError  # noqa: PLC0415

    if revision is None or not _COMMIT.fullmatch(revision):
        return None
    try:
        directory = Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None
    if _missing(directory) or not intake.is_whole(directory):
        return None
    _check_directory(directory)
    return directory


def parameter_counts(model: torch.nn.Module) -> tuple[int, int]:
    """(trainable, all) parameters; 4-bit tensors count by the numbers that they stand for."""
    trainable = total = 0
    for name, parameter in model.named_parameters():
        module = model.get_submodule(name.rpartition(".")[0])  # which keeps the shape where the tensor is sharded
        packed = name.endswith("weight") and getattr(module, "quant_state", None)
        size = math.prod(packed.shape if packed else parameter.shape)
        total += size
        trainable += size if parameter.requires_grad else 0
    return trainable, total
