"""What one step holds in memory besides weights: counted in a run of the real model over tensors without contents.

A model of the same architecture, but with two and then with four layers, computes one pass of the loop, forward and
backward, in torch's FakeTensorMode: every operation yields its shapes and allocates nothing. What is alive at a certain
moment grows by the same amount with every layer, so the two runs tell it for any depth; and by the same amount with every
chunk of the loss, so a third run with one chunk more tells it for any number of supervised tokens. Nothing here knows of a
device's allocator, of scratch memory inside an operation, or of fused kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import PreTrainedConfig

from pakar.models.architecture import empty_model, with_layers
from pakar.recipe import Method
from pakar.train import haste, targets
from pakar.train.adapter import make_trainable, trainable_weights
from pakar.train.batches import Batch
from pakar.train.losses import Objective, causal, chunk_of, decoder
from pakar.train.plan.counter import Counter, Counting, Moment
from pakar.train.plan.stand_in import in_four_bits
from pakar.train.settle import set_checkpointing

SHALLOW, DEEPER = 2, 4
"""Layers of the two runs. Both even, because some architectures alternate two kinds of layers."""
FEW_CHUNKS, MORE_CHUNKS = 3, 4
"""Chunks of the loss in two of the runs: from the third one on, each comes and goes as the one before it."""

FORWARD, LOSS, BACKWARD = "forward pass", "loss", "backward pass, loss"
LAST, BETWEEN, FIRST = "backward pass, last layer", "backward pass, between", "backward pass, first layer"
"""Parts of a step, in order. What is alive between both ends of the backward pass lies between what is alive at them."""


class Pass(NamedTuple):
    """One pass of the loop.

    Attributes:
        rows: Sequences, or packs of them.
        width: Tokens in each, padding included.
        supervised: Tokens of all that carry loss.
        precision: Number format of the matrix products.
        checkpointing: Whether activations are computed again in the backward pass.
        accumulated: Whether gradients of earlier passes of the step are there already.
        device: `cpu` or `gpu`, which take different ways through some layers.
    """

    rows: int
    width: int
    supervised: int
    precision: torch.dtype
    checkpointing: bool
    accumulated: bool
    device: str = "cpu"


def moments(config: PreTrainedConfig, method: Method, one: Pass) -> Mapping[str, Moment]:
    """Part of the step → what it needs of the whole model."""
    layers, chunk = int(config.num_hidden_layers), chunk_of(config)
    few, deep = one, layers > DEEPER
    if one.supervised > MORE_CHUNKS * chunk:
        few = one._replace(supervised=FEW_CHUNKS * chunk)
    least = with_layers(config, SHALLOW) if deep else config
    found = _run(least, method, few)
    ways: list[tuple[Mapping[str, Moment], float]] = []
    if deep:
        ways.append((_run(with_layers(config, DEEPER), method, few), (layers - SHALLOW) / (DEEPER - SHALLOW)))
    if few is not one:
        more = _run(least, method, few._replace(supervised=MORE_CHUNKS * chunk))
        ways.append((more, one.supervised / chunk - FEW_CHUNKS))
    parts = [name for name in found if name != BETWEEN or not deep]
    return {name: _extended(found[name], [(way[name], steps) for way, steps in ways]) for name in parts}


def _extended(start: Moment, ways: list[tuple[Moment, float]]) -> Moment:
    """As many steps from `start` along straight lines, each through another moment."""
    return Moment(*(
        max(0.0, first + sum((way[place] - first) * steps for way, steps in ways)) for place, first in enumerate(start)
    ))  # fmt: skip


def _run(config: PreTrainedConfig, method: Method, one: Pass) -> Mapping[str, Moment]:
    counter = Counter()
    model = _model(config, method, one)
    with FakeTensorMode(allow_non_fake_inputs=True), haste.attention_on(one.device):
        model.to_empty(device="cpu")
        base: Any = causal(model)
        base.tie_weights()  # what was one matrix has become two
        counter.ignore([*model.parameters(), *model.buffers()])
        objective = Objective(model)
        _mark(objective, int(config.num_hidden_layers), counter)
        with Counting(counter):
            _watch_gradients(model, counter, present=one.accumulated)
            _pass(objective, one, counter)
    return counter.moments()


def _watch_gradients(model: torch.nn.Module, counter: Counter, *, present: bool) -> None:
    """Have the counter told of every gradient; those of earlier passes may be there already."""
    for weight in trainable_weights(model).values():
        weight.register_post_accumulate_grad_hook(counter.is_gradient)  # type: ignore[no-untyped-call]
        if present:
            weight.grad = torch.empty_like(weight)
            counter.is_gradient(weight)


def _model(config: PreTrainedConfig, method: Method, one: Pass) -> torch.nn.Module:
    dtype = torch.float32 if method.kind == "full" else one.precision
    base: Any = empty_model(config, dtype)
    trained = method if method.kind == "full" else method.model_copy(update={"layers": None})
    matrices = targets.linear_layers(base).values()
    model: torch.nn.Module = make_trainable(base, trained)
    if method.kind == "qlora":
        in_four_bits(matrices, one.precision)
    haste.hasten(model, one.device)
    model.train()
    set_checkpointing(model, on=one.checkpointing)
    return model


def _mark(objective: Objective, layers: int, counter: Counter) -> None:
    """Tell the counter when the forward pass reaches the loss, and when the backward pass enters the last layer, and the first."""
    body = decoder(causal(objective.model))
    body.register_forward_hook(lambda *_: counter.begin(LOSS))
    stack = next(m for m in body.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == layers)
    places = {layers - 1: LAST, layers - 2: BETWEEN} | {0: FIRST}
    for place, name in places.items():
        stack[place].register_forward_hook(_entering(name, counter))


def _entering(name: str, counter: Counter) -> Callable[..., None]:
    def hook(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        if hidden.requires_grad:
            hidden.register_hook(lambda _gradient: counter.begin(name))

    return hook


def _pass(objective: Objective, one: Pass, counter: Counter) -> None:
    """Forward, loss and backward as the loop does them."""
    counter.begin(FORWARD)
    with torch.autocast("cpu", one.precision, enabled=one.precision != torch.float32):
        sums = objective(_batch(one))
    counter.begin(BACKWARD)
    (sums.loss * 1.0).backward()


def _batch(one: Pass) -> Batch:
    """Rows that are packs of two."""
    ids = torch.zeros((one.rows, one.width), dtype=torch.long)
    half = one.width // 2
    positions = torch.cat([torch.arange(half), torch.arange(one.width - half)]).expand(one.rows, -1)
    places = torch.arange(one.supervised)
    return Batch(ids, positions, torch.ones_like(ids), places, torch.zeros_like(places))
