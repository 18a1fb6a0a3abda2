"""Merge an adapter into the base model that it was trained on, and prove that nothing else has changed.

A QLoRA adapter was trained on weights that had been rounded to 4 bits. Merged into the weights from before the rounding it
is another model than the one that was trained and measured. So the 4-bit weights are unfolded as they were in training
(Dettmers et al. 2023, eq. 6), and the adapter is merged into those, in float32.

Proof: logits before (adapter beside its base, nothing merged) and after (merged and rounded as it will be stored) on the
same tokens; see `compare` and `TOLERANCES`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from pakar.errors import QualityError
from pakar.models import faults, loading, origin
from pakar.models.base import BaseModel
from pakar.models.quantise import FourBits, library

if TYPE_CHECKING:
    from peft import PeftModel

Storage = Literal["float32", "float16", "bfloat16", "q8_0"]
"""Number format of the stored matrices; `q8_0` is GGUF's: blocks of 32 numbers in 8 bits with one scale."""


class Difference(NamedTuple):
    """How far two models are apart on the same tokens.

    Attributes:
        positions: Tokens that were looked at; each gives one distribution over the vocabulary.
        largest: Largest absolute difference of a logit, in nats.
        scale: Largest absolute logit of the first model: what `largest` is to be seen against.
        agreement: Share of positions where both choose the same token.
        divergence: Mean Kullback-Leibler divergence KL(first ‖ second), in nats per token.
    """

    positions: int
    largest: float
    scale: float
    agreement: float
    divergence: float


class Tolerance(NamedTuple):
    """What a merge may change at most; see `Difference`."""

    agreement: float
    divergence: float
    largest: float | None = None
    """Largest difference of a logit as a share of the largest logit (at least 1); None: not judged."""


TOLERANCES: Mapping[Storage, Tolerance] = {
    # Merging in float32 changes each weight by half a unit in the last place (2⁻²⁵ of it); through some hundred layers
    # that stays below 1e-3 of the logits. So nothing but a fault can show here.
    "float32": Tolerance(agreement=1.0, divergence=1e-6, largest=1e-3),
    # 11 and 8 significant bits round each weight by up to 2⁻¹² and 2⁻⁹ of it, 8 bits for blocks of 32 by up to 1/254 of
    # the block's largest. Choices turn only where two tokens were nearly as likely. A divergence of 0.005 is half a per
    # cent of perplexity, less than the noise of any evaluation here.
    "float16": Tolerance(agreement=0.99, divergence=1e-3),
    "bfloat16": Tolerance(agreement=0.98, divergence=5e-3),
    "q8_0": Tolerance(agreement=0.98, divergence=5e-3),
}
"""By the number format that is stored."""

_TIE = 1e-4
"""Two logits that are closer than this share of the largest one are as good as equal: rounding alone turns their order."""


def as_trained(directory: Path, base: BaseModel) -> torch.nn.Module:
    """The tuned model as it stood in training: the adapter beside its base, which is in 4 bits if it was so then.

    Computes in float32 on the CPU. A fully trained model is simply loaded.
    """
    if not _is_adapter(directory):
        return _whole(directory)
    return _with_adapter(_base_as_trained(directory, base), directory)


def merged(directory: Path, base: BaseModel) -> PreTrainedModel:
    """The tuned model as one: the adapter folded into its base as trained, in float32 on the CPU."""
    if not _is_adapter(directory):
        return _whole(directory)
    foundation = _base_as_trained(directory, base)
    if _quantised(directory):
        quantised, foundation = foundation, base.load()
        unfold(quantised, foundation)
        del quantised
    model = _with_adapter(foundation, directory).merge_and_unload(safe_merge=True)
    assert isinstance(model, PreTrainedModel)  # noqa: S101 - narrows a type for the checker
    model.eval()  # type: ignore[no-untyped-call]
    return model


@torch.no_grad()
def unfold(quantised: torch.nn.Module, into: PreTrainedModel) -> None:
    """Give `into` the weights that a model with 4-bit matrices computes with. Both have the same architecture.

    The layers of GPT-2 keep their matrices transposed (`Conv1D`); they are turned round before they are quantised.
    """
    values = dict(quantised.named_parameters())
    for name, parameter in into.named_parameters():
        value = _unfolded(values[name])
        owner = into.get_submodule(name.rpartition(".")[0])
        turned = isinstance(owner, Conv1D) and _is_four_bit(values[name])
        parameter.copy_(value.T if turned else value)


@torch.no_grad()
def logits(model: Any, rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """The logits after every token of each row, [T, V] in float32 on the CPU."""
    device = next(model.parameters()).device
    return [model(input_ids=torch.tensor([[*row]], device=device)).logits[0].float().cpu() for row in rows]


def compare(before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> Difference:
    """How far two models are apart, by their logits on the same rows."""
    positions = same = 0
    largest = scale = divergence = 0.0
    for one, other in zip(before, after, strict=True):
        positions += len(one)
        largest, scale = max(largest, _largest(one - other)), max(scale, _largest(one))
        if math.isinf(largest):  # something that is no number: nothing else can be said
            divergence = math.inf
            continue
        lost = one.max(dim=-1).values - one.gather(-1, other.argmax(-1, keepdim=True))[:, 0]
        same += int((lost <= _TIE * _largest(one)).sum())
        logs, others = one.log_softmax(-1), other.log_softmax(-1)
        divergence += float((logs.exp() * (logs - others)).sum())
    return Difference(positions, largest, scale, same / positions, max(0.0, divergence / positions))


def check(found: Difference, storage: Storage, tolerance: Tolerance | None = None) -> None:
    """Refuse a merge that changed the model.

    Raises:
        QualityError: the difference is above the tolerance.
    """
    allowed = tolerance or TOLERANCES[storage]
    share = found.largest / max(1.0, found.scale)
    faults = []
    if not found.agreement >= allowed.agreement:
        faults.append(f"the likeliest token is the same at {found.agreement:.1%} of {found.positions:,} positions, {allowed.agreement:.0%} needed")  # fmt: skip
    if not found.divergence <= allowed.divergence:
        faults.append(f"the mean divergence is {found.divergence:.2g} nats per token, {allowed.divergence:g} allowed")
    if allowed.largest is not None and not share <= allowed.largest:
        faults.append(f"a logit moved by {share:.2g} of the largest one, {allowed.largest:g} allowed")
    if faults:
        finer = (
            "--as merged:float32 (or gguf:float32)" if storage != "float32" else "--as adapter, which merges nothing"
        )
        raise QualityError(f"stored as {storage}, the model is not the one that was trained: {'; '.join(faults)}",
                           next_step=f"store it with more digits: {finer}.")  # fmt: skip


def _largest(values: torch.Tensor) -> float:
    """Largest absolute value; infinite if there is anything that is no number."""
    return float(values.abs().max()) if bool(torch.isfinite(values).all()) else float("inf")


def _with_adapter(foundation: PreTrainedModel, directory: Path) -> PeftModel:
    library()  # PEFT imports bitsandbytes, which is noisy by itself
    from peft import PeftModel  # noqa: PLC0415

    with faults.told(directory, "the adapter"), warnings.catch_warnings():
        # GPT-2's layers lie when they are in full precision and stand when they are in 4 bits; PEFT sees to that by itself.
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to")
        warnings.filterwarnings("error", message="Found missing adapter keys")  # they would be random numbers
        model = PeftModel.from_pretrained(foundation, str(directory))
    assert isinstance(model, PeftModel)  # noqa: S101 - narrows a type for the checker
    model.eval()
    return model


def _is_adapter(directory: Path) -> bool:
    return (directory / "adapter_config.json").exists()


def _quantised(directory: Path) -> bool:
    return bool(origin.read(directory).get("method", {}).get("kind") == "qlora")


def _whole(directory: Path) -> PreTrainedModel:
    model = loading.read(AutoModelForCausalLM, directory, dtype=torch.float32)
    assert isinstance(model, PreTrainedModel)  # noqa: S101 - narrows a type for the checker
    return model


def _base_as_trained(directory: Path, base: BaseModel) -> PreTrainedModel:
    """The base model with the weights that it had in training: rounded to the format it was loaded in, or to 4 bits.

    All that is not in 4 bits is then float32, and so are all products. Training may have rounded the unfolded matrices of
    each product to 16 bits, like the activations; that rounding belongs to the arithmetic and not to the weights.
    """
    known = origin.read(directory)
    loaded_as: torch.dtype = getattr(torch, known.get("base_dtype", "float32"))
    if not _quantised(directory):
        return _widened(base.load(loaded_as))
    four_bits = FourBits(torch.float32, double=known["method"].get("double_quantisation", True))
    return _widened(base.load(loaded_as, four_bits=four_bits))


def _widened(model: PreTrainedModel) -> PreTrainedModel:
    """All that is not in 4 bits becomes float32; what is will be unfolded to it."""
    for parameter in model.parameters():
        if _is_four_bit(parameter):
            parameter.quant_state.dtype = torch.float32  # type: ignore[attr-defined]
        else:
            parameter.data = parameter.data.float()
    return model


def _is_four_bit(parameter: torch.Tensor) -> bool:
    return hasattr(parameter, "quant_state")


def _unfolded(parameter: torch.Tensor) -> torch.Tensor:
    if not _is_four_bit(parameter):
        return parameter
    unfolded = library().functional.dequantize_4bit(parameter.data, parameter.quant_state)  # type: ignore[attr-defined]
    assert isinstance(unfolded, torch.Tensor)  # noqa: S101 - narrows a type for the checker
    return unfolded
