"""Write one GGUF file; tensors go to the disk one by one, so that only one is held twice."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from pakar.errors import UserError
from pakar.export.gguf import architectures, vocabulary
from pakar.models.merge import Storage
from pakar.models.prompt import Renderer

_KINDS: dict[Storage, Kind] = {"float32": Kind.F32, "float16": Kind.F16, "bfloat16": Kind.BF16, "q8_0": Kind.Q8_0}
_FILE_TYPES: dict[Storage, gguf.LlamaFileType] = {
    "float32": gguf.LlamaFileType.ALL_F32,
    "float16": gguf.LlamaFileType.MOSTLY_F16,
    "bfloat16": gguf.LlamaFileType.MOSTLY_BF16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}
_BLOCK = 32  # numbers that share a scale in q8_0
_POSITIONS = "position_embd"


class Planned(NamedTuple):
    """A tensor of the file: where it comes from and how it is stored."""

    name: str
    source: str
    shape: tuple[int, ...]
    kind: Kind

    @property
    def stored_bytes(self) -> int:
        """What it takes in the file."""
        block, taken = gguf.GGML_QUANT_SIZES[self.kind]
        return math.prod(self.shape) // block * taken


def write(path: Path, model: PreTrainedModel, prompts: Renderer, storage: Storage, name: str) -> None:
    """Write a whole model with its tokenizer and chat template.

    Args:
        path: The file; it must not exist yet.
        model: Merged, in float32 on the CPU.
        prompts: What it was trained with.
        storage: Number format of the matrices; norms, biases and learnt positions are always float32.
        name: Shown by programs that load the file.

    Raises:
        UserError: the architecture or the tokenizer cannot be written as GGUF.
    """
    architecture = architectures.of(model.config)
    weights: dict[str, torch.Tensor] = dict(model.named_parameters())
    more = architecture.added(model.config)
    whole = [*planned(model, storage), *(Planned(n, "", tuple(t.shape), Kind.F32) for n, t in more.items())]
    writer = gguf.GGUFWriter(path, architecture.name)
    writer.add_name(vocabulary.safe_name(name, prompts))
    writer.add_file_type(_FILE_TYPES[storage])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_settings(writer, architecture.name, architecture.settings(model.config))
    vocabulary.add(writer, prompts, int(model.config.vocab_size))
    for tensor in whole:
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), tensor.stored_bytes, tensor.kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in whole:
        laid = more[tensor.name] if tensor.name in more else architecture.laid_out(tensor.source, weights[tensor.source].data, model.config)  # fmt: skip
        writer.write_tensor_data(gguf.quantize(laid.float().contiguous().numpy(), tensor.kind))
    writer.close()


@torch.no_grad()
def round_weights(model: PreTrainedModel, storage: Storage) -> None:
    """Give the model, in place, the weights that it will have when it is read back from a file of this kind."""
    kinds = {tensor.source: tensor.kind for tensor in planned(model, storage)}
    for name, weight in model.named_parameters():
        owner = model.get_submodule(name.rpartition(".")[0])
        turned = isinstance(owner, Conv1D) and weight.ndim == 2
        laid = (weight.T if turned else weight).float().contiguous().numpy()
        read = torch.from_numpy(gguf.dequantize(gguf.quantize(laid, kinds[name]), kinds[name]).reshape(laid.shape))
        weight.copy_(read.T if turned else read)


def size(model: Any, storage: Storage) -> int:
    """Bytes of all tensors in the file."""
    return sum(tensor.stored_bytes for tensor in planned(model, storage))


def planned(model: Any, storage: Storage) -> Iterator[Planned]:
    """All tensors of a file that come from weights, in the model's order. Tied weights appear once: llama.cpp ties them again."""
    known = gguf.MODEL_ARCH_NAMES
    name = architectures.of(model.config).name
    arch = next(number for number, called in known.items() if called == name)
    names = gguf.get_tensor_name_map(arch, model.config.num_hidden_layers)
    for source, weight in model.named_parameters():
        stem, _, suffix = source.rpartition(".")
        found = names.get_name(stem) or names.get_name(stem.removeprefix("transformer."))
        if found is None:
            raise UserError(f"the weight {source} has no place in a GGUF file of the architecture {name}",
                            next_step="export with --as merged.")  # fmt: skip
        turned = isinstance(model.get_submodule(stem), Conv1D) and weight.ndim == 2
        shape = tuple(weight.shape[::-1] if turned else weight.shape)
        yield Planned(f"{found}.{suffix}", source, shape, _kind(found, shape, storage))


def _kind(name: str, shape: tuple[int, ...], storage: Storage) -> Kind:
    if len(shape) < 2 or name.startswith(_POSITIONS):
        return Kind.F32
    if storage == "q8_0" and shape[-1] % _BLOCK:
        return Kind.F16
    return _KINDS[storage]


def _add_settings(writer: gguf.GGUFWriter, architecture: str, settings: architectures.Settings) -> None:
    for name, value in settings.items():
        key = f"{architecture}.{name}"
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        else:
            writer.add_string(key, value)
