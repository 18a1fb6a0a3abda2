"""What `compute` leaves to the machine, settled once at the start of a training and kept in its checkpoints.

A resumed training takes the settled values from the checkpoint, so it computes the very same numbers even if memory or
other things have changed meanwhile.
"""

from __future__ import annotations

import gc
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch.distributed.tensor import DTensor

from pakar import progress
from pakar.errors import ResourceError
from pakar.train import compiling, memory, proof
from pakar.train.batches import Batch
from pakar.train.launch import sharding
from pakar.train.losses import causal
from pakar.train.optimizer import moment_bytes
from pakar.train.training import Settled, Training

_WARM_UP_WIDTH = 64
_SHORTEST_TRIED = 64


def settle(training: Training) -> Settled:
    """Settle everything and make the model so; torch's random generators stay untouched."""
    with torch.random.fork_rng():
        if training.state.settled:
            settled = Settled(**training.state.settled)
        else:
            settled = _decided(training)
            training.state.settled = asdict(settled)
        training.objective.packed = settled.packed
        set_checkpointing(training.model, on=settled.gradient_checkpointing)
        if settled.compiled:
            compiling.compile_layers(training.model)
            _warm_up(training)
    return settled


def _decided(training: Training) -> Settled:
    with sharding.parts_callable(training.objective):
        packed = training.section.compute.packing and training.team.all(proof.packing_holds(training))
    tokens, checkpointing = _sizes(training)
    return Settled(packed, tokens, checkpointing, compiling.wanted(training))


def _warm_up(training: Training) -> None:
    """Compile for many rows and for one, always with the same shapes: a resumed training must get the very same code."""
    training.forward.train()
    for rows in (2, 1):
        batch = _worst(rows * _WARM_UP_WIDTH, _WARM_UP_WIDTH).to(training.accelerator.device)
        training.accelerator.backward(training.forward(batch).loss * 0.0)
    training.model.zero_grad(set_to_none=True)


def set_checkpointing(model: torch.nn.Module, *, on: bool) -> None:
    """Let the model compute activations again in the backward pass, or keep them."""
    bare: Any = causal(model)
    if on:
        bare.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    elif any(getattr(module, "gradient_checkpointing", False) for module in bare.modules()):
        bare.activation_checkpointing_disable()


def _sizes(training: Training) -> tuple[int, bool]:
    """(micro_batch_tokens, gradient_checkpointing)."""
    wanted = training.section.compute
    longest = int(max(training.plan.lengths.max(), *training.measured.lengths, 8))
    tries = [False, True] if wanted.gradient_checkpointing == "auto" else [bool(wanted.gradient_checkpointing)]
    given = None if wanted.micro_batch_tokens == "auto" else wanted.micro_batch_tokens
    for checkpointing in tries:
        set_checkpointing(training.model, on=checkpointing)
        if given is not None and checkpointing == tries[-1]:
            return given, checkpointing  # as asked for; nothing is left to choose
        most, least = (given, given) if given is not None else (_most_tokens(training), longest)
        found = memory.halved_until(lambda tokens: training.team.all(_fits(training, tokens, longest)), most, least)
        if found is not None:
            if checkpointing and len(tries) > 1:
                progress.note(
                    "train: activations would not fit into memory; they are computed again in the backward pass"
                )
            return found, checkpointing
    raise ResourceError(f"not even one example of {longest} tokens fits into the memory of {training.accelerator.device.type}",
                        next_step="take the method qlora, a smaller model.context_tokens, or a smaller base model.")  # fmt: skip


def _most_tokens(training: Training) -> int:
    """The largest pass that is worth trying: a whole step, up to what brings speed."""
    lengths = np.sort(training.plan.lengths)[::-1]
    batch = training.section.batch_size
    whole_step = (
        int(lengths[0]) * min(len(lengths), batch) if isinstance(batch, int) else max(batch.tokens, int(lengths[0]))
    )
    on_gpu = training.accelerator.device.type == "cuda"
    return min(whole_step, memory.GPU_PASS_TOKENS) if on_gpu else memory.CPU_PASS_TOKENS


def _fits(training: Training, tokens: int, longest: int) -> bool:
    """Whether the worst pass of that size fits: tried on a GPU, reckoned from one row on a CPU."""
    if training.accelerator.device.type != "cuda":
        return _fits_on_cpu(training, tokens, longest)
    try:
        _try_on_gpu(training, _worst(tokens, longest).to(training.accelerator.device))
    except torch.OutOfMemoryError:
        return False
    finally:
        training.model.zero_grad(set_to_none=True)
        gc.collect()
        torch.cuda.empty_cache()
    return True


def _fits_on_cpu(training: Training, tokens: int, longest: int) -> bool:
    """What one row keeps for its backward pass, for as many rows as the pass has.

    Attention may keep as much as the square of the width, so the longest row counts. It is come to by doubling shorter ones:
    what is too much by the shorter one already is never computed.
    """
    width = min(longest, _SHORTEST_TRIED)
    while True:
        kept = _kept_by_one_row(training, width)
        if not training.team.all(memory.fits_beside(kept * tokens // width)):
            return False
        if width == longest:
            return True
        width = min(longest, 2 * width)


def _kept_by_one_row(training: Training, width: int) -> int:
    batch = _worst(width, width)
    training.forward.train()
    return memory.saved_bytes(lambda: training.forward(batch))


def _try_on_gpu(training: Training, batch: Batch) -> None:
    room = torch.empty(moments(training), dtype=torch.uint8, device=batch.input_ids.device)
    training.forward.train()
    training.accelerator.backward(training.forward(batch).loss / len(batch.targets))
    del room


def moments(training: Training) -> int:
    """Bytes on this process's GPU that the optimizer's first step will take; paged moments make room where others need it."""
    kind = training.section.optimizer.kind
    if "paged" in kind:
        return 0
    trained = (weight for weight in training.model.parameters() if weight.requires_grad)
    mine = sum(weight.to_local().numel() if isinstance(weight, DTensor) else weight.numel() for weight in trained)
    return 2 * moment_bytes(kind) * mine


def _worst(tokens: int, width: int) -> Batch:
    """A pass of that many positions, all of which carry loss."""
    rows = max(1, tokens // width)
    ids = torch.zeros((rows, width), dtype=torch.long)
    positions = torch.arange(width).expand(rows, width).contiguous()
    places = torch.arange(rows * width)
    return Batch(ids, positions, torch.ones_like(ids), places, torch.zeros_like(places))
