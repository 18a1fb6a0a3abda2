"""How many weights a model has, and how many of them the method trains: exact, from a model without memory."""

from __future__ import annotations

from typing import NamedTuple

import torch
from transformers import PreTrainedConfig

from pakar.models.architecture import empty_model
from pakar.models.base import parameter_counts
from pakar.recipe import Method
from pakar.train import targets
from pakar.train.adapter import make_trainable, trainable_weights

IN_8_BITS = 4096
"""Numbers that a weight must have for its moments to be kept in 8 bits (the rule of bitsandbytes)."""


class Weights(NamedTuple):
    """Numbers of weights; tied ones count once.

    Attributes:
        total: With adapters.
        trainable: That training changes.
        quantised: That are kept in 4 bits.
        small: Trained, in tensors that are too small for moments in 8 bits.
        computed: That take part in a matrix product for every token: all but embeddings that are only looked up.
        output: Of these, in the output layer.
    """

    total: int
    trainable: int
    quantised: int
    small: int
    computed: int
    output: int

    @property
    def frozen(self) -> int:
        """Not trained, and not in 4 bits."""
        return self.total - self.trainable - self.quantised


def count(config: PreTrainedConfig, method: Method) -> Weights:
    """Numbers of a model of this architecture, trained by this method.

    Raises:
        RecipeError: the method names modules that the architecture does not have.
    """
    base = empty_model(config)
    table, head = base.get_input_embeddings(), base.get_output_embeddings()  # type: ignore[no-untyped-call]
    output = _size(head) if isinstance(head, torch.nn.Module) else 0
    tied = isinstance(head, torch.nn.Module) and head.weight is table.weight
    in_matrices = sum(_size(module) for module in targets.linear_layers(base).values())
    looked_up = sum(_size(module) for module in base.modules() if isinstance(module, torch.nn.Embedding))
    model = make_trainable(base, method)
    trainable, total = parameter_counts(model)
    return Weights(
        total=total,
        trainable=trainable,
        quantised=in_matrices if method.kind == "qlora" else 0,
        small=sum(weight.numel() for weight in trainable_weights(model).values() if weight.numel() < IN_8_BITS),
        computed=total - looked_up + (output if tied else 0),
        output=output,
    )


def _size(module: torch.nn.Module) -> int:
    weight = module.weight
    return weight.numel() if isinstance(weight, torch.Tensor) else 0
