"""Resumable training states: written so that a directory is whole or absent, and read back exactly.

A checkpoint is filled in a temporary directory, every file is forced to the disk, `COMMIT.json` lists their sizes and
SHA-256, and one rename makes it visible. Reading checks that list. All is safetensors and JSON: nothing can run code.
Knows nothing of recipes and of how the tensors were come by: with several processes one of them collects and writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file

from pakar import files, provenance
from pakar.train import optimizer_state
from pakar.train.adapter import load_weights, trainable_weights
from pakar.train.launch.sharding import whole
from pakar.train.optimizer_state import OptimizerState
from pakar.train.random_state import RandomState

FORMAT = 2
"""Version of what is in a checkpoint's directory."""
COMMIT, WEIGHTS, OPTIMIZER, STATE = "COMMIT.json", "weights.safetensors", "optimizer.safetensors", "state.json"
_CONTENT = {WEIGHTS, OPTIMIZER, STATE}


@dataclass
class TrainState:
    """Where training stands; with weights, optimizer and random generators it is all that resuming needs.

    Attributes:
        step: Optimizer steps done.
        tokens: Supervised tokens trained on so far.
        best_step: Step with the lowest validation loss so far; 0 is the untrained model.
        best_loss: That loss in nats per token; None before the first measurement.
        bad_measurements: Validation losses in a row that were no improvement.
        first_loss: Validation loss before training.
        last_loss: Latest validation loss.
        stopped: Early stopping has ended the training.
        settled: How passes are computed where the recipe leaves it to the machine; empty before the start.
        changes: Where an interrupted training went on after something had changed that rounds differently.
    """

    step: int = 0
    tokens: int = 0
    best_step: int = 0
    best_loss: float | None = None
    bad_measurements: int = 0
    first_loss: float | None = None
    last_loss: float | None = None
    stopped: bool = False
    settled: dict[str, Any] = field(default_factory=dict)
    changes: list[dict[str, Any]] = field(default_factory=list)


class Position(NamedTuple):
    """What a checkpoint belongs to: it may only be gone on with from the same.

    Attributes:
        origin: Name → value of everything that the training was made from; see `origin.py`.
        order: Fingerprint of the order in which examples come; the step number counts along it.
        total_steps: Steps of the whole training.
        saved: When, in UTC.
    """

    origin: Mapping[str, str]
    order: str
    total_steps: int
    saved: str = ""


@dataclass(frozen=True)
class Snapshot:
    """A training at the end of a step.

    Attributes:
        weights: Name → tensor of everything that training changes.
        optimizer: What the optimizer remembers.
        scaler: Numbers of the float16 loss scaler; empty with other formats.
        random: Generators of every process, in the order of their ranks.
        state: Where it stands.
        position: What it belongs to.
    """

    weights: Mapping[str, torch.Tensor]
    optimizer: OptimizerState
    scaler: Mapping[str, Any]
    random: Sequence[RandomState]
    state: TrainState
    position: Position

    @property
    def num_bytes(self) -> int:
        """Room that it takes on the disk, but for a few kilobytes."""
        tensors = (*self.weights.values(), *self.optimizer.tensors.values())
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def save(directory: Path, snapshot: Snapshot) -> None:
    """Write the checkpoint of the snapshot's step, then remove those that are no longer needed.

    Raises:
        OSError, SafetensorError: it cannot be written, as when the disk is full, or reads otherwise; the checkpoints before it stay.
    """
    step, optimizer = snapshot.state.step, snapshot.optimizer
    described = {
        "state": asdict(snapshot.state),
        "position": {**snapshot.position._asdict(), "saved": provenance.now()},
        "random": snapshot.random,
        "scaler": snapshot.scaler,
        "optimizer": {"scalars": optimizer.scalars, "groups": optimizer.groups},
    }
    with files.replacing_directory(path_of(directory, step)) as temporary:
        save_file(_apart(snapshot.weights), temporary / WEIGHTS)
        save_file(_apart(optimizer.tensors), temporary / OPTIMIZER)
        (temporary / STATE).write_text(json.dumps(described), encoding="utf-8")
        listed = {p.name: {"bytes": p.stat().st_size, "sha256": files.sha256(p)} for p in sorted(temporary.iterdir())}
        commit = {"format": FORMAT, "step": step, "files": listed}
        (temporary / COMMIT).write_text(json.dumps(commit), encoding="utf-8")
    if wrong := defect(path_of(directory, step)):
        raise OSError(f"the checkpoint of step {step} was not written as it should be: {wrong}")
    _prune(directory)


def path_of(directory: Path, step: int) -> Path:
    """Where the checkpoint of a step is."""
    return directory / f"step-{step:08d}"


class Found(NamedTuple):
    """What a directory of checkpoints holds.

    Attributes:
        newest: The newest one that is whole, and whose best one is whole too.
        harmed: Newer ones → what is wrong with them.
    """

    newest: Path | None
    harmed: dict[Path, str]


def look(directory: Path) -> Found:
    """Find the checkpoint to go on from. Changes nothing."""
    harmed: dict[Path, str] = {}
    for candidate in sorted(directory.glob("step-*"), reverse=True):
        defect = _defect_with_best(candidate)
        if defect is None:
            return Found(candidate, harmed)
        harmed[candidate] = defect
    return Found(None, harmed)


def defect(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint; None if every file is there as it was written."""
    commit = _read_object(checkpoint / COMMIT)
    if commit is None:
        return f"{COMMIT} is missing or cannot be read"
    if commit.get("format") != FORMAT:
        return f"it has format {commit.get('format')}, and this version of Pakar reads format {FORMAT}"
    if checkpoint.name != path_of(checkpoint, int(commit["step"])).name:
        return f"it holds step {commit['step']}, which is not what its name says"
    listed = commit["files"]
    if set(listed) != _CONTENT:
        return f"{COMMIT} lists other files than {', '.join(sorted(_CONTENT))}"
    wrong = [name for name in sorted(listed) if not _is_as_written(checkpoint / name, listed[name])]
    return f"{', '.join(wrong)}: not as written" if wrong else _unknown(checkpoint)


def read_state(checkpoint: Path) -> TrainState:
    """Where training stood."""
    return TrainState(**files.read_json(checkpoint / STATE)["state"])


def read_position(checkpoint: Path) -> Position:
    """What the checkpoint belongs to."""
    return Position(**files.read_json(checkpoint / STATE)["position"])


def read(checkpoint: Path) -> Snapshot:
    """The whole checkpoint, on the CPU."""
    described = files.read_json(checkpoint / STATE)
    optimizer = described["optimizer"]
    return Snapshot(
        weights=load_file(checkpoint / WEIGHTS),
        optimizer=OptimizerState(load_file(checkpoint / OPTIMIZER), optimizer["scalars"], optimizer["groups"]),
        scaler=described["scaler"],
        random=described["random"],
        state=TrainState(**described["state"]),
        position=Position(**described["position"]),
    )


def restore(snapshot: Snapshot, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put weights and optimizer back as they were."""
    load_weights(model, snapshot.weights)
    optimizer_state.restore(optimizer, snapshot.optimizer)


def read_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Name → tensor of what training changed, on the CPU."""
    return dict(load_file(checkpoint / WEIGHTS))


def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Name → whole tensor of what training changes, cut off from the graph of gradients."""
    return {name: whole(weight.detach()) for name, weight in trainable_weights(model).items()}


def _unknown(checkpoint: Path) -> str | None:
    """Fields that another version of Pakar wrote, or did not."""
    try:
        read_state(checkpoint), read_position(checkpoint)
    except (KeyError, TypeError, ValueError) as error:
        return f"{STATE} is of another version of Pakar: {error}"
    return None


def _best(checkpoint: Path) -> Path:
    """The checkpoint with the lowest validation loss, as seen from `checkpoint`."""
    return path_of(checkpoint.parent, read_state(checkpoint).best_step)


def _defect_with_best(checkpoint: Path) -> str | None:
    own = defect(checkpoint)
    if own is not None or _best(checkpoint) == checkpoint:
        return own
    of_best = defect(_best(checkpoint))
    return f"the best one before it, {_best(checkpoint).name}, is harmed: {of_best}" if of_best else None


def _read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in `path`, if it has the shape of a commit."""
    try:
        value = files.read_json(path)
    except (OSError, ValueError):
        return None
    shaped = isinstance(value, dict) and isinstance(value.get("step"), int) and isinstance(value.get("files"), dict)
    return value if shaped or (isinstance(value, dict) and value.get("format") != FORMAT) else None


def _is_as_written(path: Path, entry: Any) -> bool:
    try:
        return bool(path.stat().st_size == entry["bytes"] and files.sha256(path) == entry["sha256"])
    except (OSError, KeyError, TypeError):
        return False


def _apart(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Contiguous tensors that share no memory, as the file format wants them; 8-bit optimizers share their code books."""
    seen: set[int] = set()
    apart: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone(memory_format=torch.contiguous_format) if memory in seen else tensor.contiguous()
        seen.add(memory)
    return apart


def _prune(directory: Path) -> None:
    """Keep the two newest checkpoints and what each of them calls the best."""
    readable = [path for path in sorted(directory.glob("step-*"), reverse=True) if (path / STATE).exists()]
    keep = {path for checkpoint in readable[:2] for path in (checkpoint, _best(checkpoint))}
    for path in set(directory.glob("step-*")) - keep:
        files.remove(path)
