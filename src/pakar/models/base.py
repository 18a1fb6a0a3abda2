"""Find and load the base model: the bundled `starter`, a local directory, or a hub id.

A directory is looked at before any library loads it, see `pakar.models.intake`. No code that comes with a model is ever
run (`trust_remote_code` stays off).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from pakar import files, progress, recipe
from pakar.errors import RecipeError
from pakar.models import intake, origin, versions
from pakar.models.quantise import FourBits, layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

STARTER = Path(__file__).parent.parent / "starter"
NO_CODE = {"local_files_only": True, "trust_remote_code": False}
"""Given to every loader: nothing is fetched, and no code that comes with a model is run."""

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
        return tokenizer(self.directory)

    def context_limit(self) -> int:
        """Most tokens that the architecture can attend to, prompt and answer together."""
        config = configuration(self.directory)
        found = (getattr(config, name, None) for name in ("max_position_embeddings", "n_positions", "seq_length"))
        return next((int(limit) for limit in found if limit), 2**31)

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
            RecipeError: 4 bits are asked for, and the files hold quantised weights already, or no linear layers.
        """
        from transformers import PreTrainedModel  # noqa: PLC0415 - takes two seconds, and workers of preparation never need it

        if four_bits is not None:
            self.check_unquantised()
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        model: Any = AutoModelForCausalLM.from_pretrained(
            self.directory,
            config=configuration(self.directory),
            dtype=dtype,
            device_map={"": to or torch.device("cpu")},
            quantization_config=four_bits and four_bits.loading(),
            use_safetensors=True,
            **NO_CODE,
        )
        assert isinstance(model, PreTrainedModel)  # noqa: S101 - narrows a type for the checker
        model.name_or_path = self.public_name
        if four_bits is not None and not layers(model):
            raise RecipeError(f"train.method.kind = qlora: {self.name} has no linear layers that can be kept in 4 bits",
                              next_step="use train.method.kind: lora.")  # fmt: skip
        model.eval()  # type: ignore[no-untyped-call]
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
    """The base model that the recipe names, after a look at its files.

    Raises:
        RecipeError: it is not there, is not a model, or is not known to be harmless.
        UserError: an installed library is older than is safe, or newer than is known.
    """
    versions.check()
    if model.base == "starter":
        return BaseModel("starter", STARTER)
    path = Path(model.base)
    if path.is_absolute():
        _check_directory(path)
        origin.check(path, tokenizer)
        return BaseModel(model.base, path)
    return _from_hub(model.base, model.revision)


def configuration(directory: Path) -> PreTrainedConfig:
    """What config.json says, without the names of code in it: no library gets to see them.

    Loaders take it in place of the file: given a configuration, they do not read one.
    """
    written = files.read_json(directory / "config.json")
    with TemporaryDirectory() as place:
        kept = {key: value for key, value in written.items() if key != intake.NAMES_OF_CODE}
        (Path(place) / "config.json").write_text(json.dumps(kept), encoding="utf-8")
        config = AutoConfig.from_pretrained(place, **NO_CODE)
    assert isinstance(config, PreTrainedConfig)  # noqa: S101 - narrows a type for the checker
    config.name_or_path = str(directory)
    return config


def tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a model's directory, as it comes."""
    config = configuration(directory) if (directory / "config.json").exists() else None
    found = AutoTokenizer.from_pretrained(directory, config=config, **NO_CODE)
    assert isinstance(found, PreTrainedTokenizerBase)  # noqa: S101 - narrows a type for the checker
    return found


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
    if not intake.has_weights(path):
        missing.append("weights as model.safetensors, or as shards with model.safetensors.index.json")
    if not any((path / name).exists() for name in TOKENIZER_FILES):
        missing.append(f"a tokenizer ({', '.join(TOKENIZER_FILES)})")
    if missing:
        there = ", ".join(sorted(p.name for p in path.iterdir())[:12]) or "nothing"
        pickled = " Pickled weights (.bin, .pt) are not read: they can run code." if list(path.glob("*.bin")) else ""
        raise RecipeError(f"model.base: {path} is not a model. Missing: {'; '.join(missing)}. There is: {there}.{pickled}",
                          next_step="give the directory of a complete model in Hugging Face layout, or `starter`.")  # fmt: skip
    intake.refuse(path, f"model.base: {path}", error=RecipeError)
    if intake.NAMES_OF_CODE in files.read_json(path / "config.json"):
        _say_that_code_is_not_used(path)


@cache
def _say_that_code_is_not_used(path: Path) -> None:
    progress.note(
        f"model.base: {path} names code of its own ({intake.NAMES_OF_CODE} in config.json), which is not used: transformers "
        "has this architecture built in"
    )


def _from_hub(name: str, revision: str | None) -> BaseModel:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - this is the hub's one door
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError  # noqa: PLC0415

    try:
        directory = Path(snapshot_download(name, revision=revision, allow_patterns=intake.fetched()))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise RecipeError(f"model.base: {name!r} is neither a local directory nor a model that can be fetched: {reason}",
                          next_step="check the name and the network, or use `starter`, which needs no download.") from None  # fmt: skip
    _check_directory(directory)
    return BaseModel(name, directory, revision=directory.name)


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
