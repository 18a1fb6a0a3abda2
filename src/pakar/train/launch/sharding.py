"""Weights, gradients and moments spread over all processes of a team (FSDP2: Zhao et al. 2023, per-parameter sharding).

What is saved is always whole (`whole`), so a checkpoint does not tell how many processes wrote it; `like` cuts it up again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from pakar import recipe
from pakar.errors import RecipeError
from pakar.train.batches import idle_batch
from pakar.train.launch.team import Team


def check(section: recipe.Train) -> None:
    """Refuse what cannot be sharded.

    Raises:
        RecipeError: the optimizer's moments are in blocks that shards would cut, or are paged, or it needs whole matrices.
    """
    if wanted(section) and section.optimizer.kind != "adamw":
        why = (
            "whole matrices, as Muon needs them," if section.optimizer.kind == "muon" else "moments in 8 bits or paged"
        )
        raise RecipeError(
            f"train.launch.sharding = full with train.optimizer = {section.optimizer.kind}: {why} cannot be spread over processes",
            next_step="--set train.optimizer=adamw (its moments are spread, so each process holds only its share), or --set train.launch.sharding=none.",
        )


def wanted(section: recipe.Train) -> bool:
    """Whether the recipe asks for it."""
    return section.launch.kind != "here" and section.launch.sharding == "full"


def storage(section: recipe.Train, compute: torch.dtype) -> torch.dtype:
    """Type that packed 4-bit numbers are kept in: shards are exchanged in one format, so it is that of the other weights."""
    return compute if wanted(section) else torch.uint8


def shard(objective: torch.nn.Module, team: Team) -> None:
    """Spread a model over the team, block by block: only one block at a time is whole. Gradients are summed, not averaged.

    Args:
        objective: What is called in a forward pass: the model with its loss.
        team: Who gets a share.
    """
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    mesh = init_device_mesh(kind, (team.size,))
    for block in blocks(objective):
        fully_shard(block, mesh=mesh)
    fully_shard(objective, mesh=mesh)
    for module in objective.modules():
        scales: Any = getattr(module, "quant_state", None)  # of a matrix in 4 bits: every process keeps all of them
        if scales is not None:
            scales.to(torch.device(kind))
    for part in _parts(objective):
        part.set_gradient_divide_factor(1.0)
        part.set_force_sum_reduction_for_comms(enable=True)  # a factor at the sender's side is something gloo cannot do


def blocks(model: torch.nn.Module) -> list[torch.nn.Module]:
    """The repeated blocks of a transformer: the items of its longest list."""
    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    return list(max(lists, key=len, default=[]))


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The full tensor of a shard, on the leader's CPU; the others, which write nothing, get an empty one. Any other tensor as it is.

    All processes must call it at once.
    """
    if not isinstance(tensor, DTensor):
        return tensor
    full = tensor.full_tensor()
    return full.cpu() if dist.get_rank() == 0 else torch.empty(0)


def like(value: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """A full tensor in the way that `weight` is kept: of a sharded one, this process's shard."""
    if not isinstance(weight, DTensor) or value.shape != weight.shape:
        return value
    # Every process has read the tensor by itself, so nothing need be sent.
    return distribute_tensor(value.to(weight.device), weight.device_mesh, weight.placements, src_data_rank=None)


def is_sharded(model: torch.nn.Module) -> bool:
    """Whether this process holds only a part of the model."""
    return bool(_parts(model))


@contextmanager
def parts_callable(objective: torch.nn.Module) -> Iterator[None]:
    """Let methods of a sharded objective be called by themselves; by itself only its forward pass finds the weights."""
    if not isinstance(objective, FSDPModule):
        yield
        return
    with torch.no_grad():
        objective(idle_batch().to(next(objective.parameters()).device))  # tells blocks who is at the top
    objective.unshard()
    yield
    reshard(objective)


def reshard(model: torch.nn.Module) -> None:
    """Turn weights that the last forward pass has left whole into shards again."""
    for part in _parts(model):
        part.reshard()


def _parts(model: torch.nn.Module) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, FSDPModule)]
