"""Resumable training states: written so that a directory is whole or absent, and read back exactly.

A checkpoint is filled in a temporary directory, every file is forced to the disk, `COMMIT.json` lists their sizes and
SHA-256, and one rename makes it visible. Reading checks that list. All is safetensors and JSON: nothing can run code.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from pakar import files, progress
from pakar.train.adapter import load_weights, trainable_weights

COMMIT, WEIGHTS, OPTIMIZER, STATE = "COMMIT.json", "weights.safetensors", "optimizer.safetensors", "state.json"


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
    """

    step: int = 0
    tokens: int = 0
    best_step: int = 0
    best_loss: float | None = None
    bad_measurements: int = 0
    first_loss: float | None = None
    last_loss: float | None = None
    stopped: bool = False


def save(
    directory: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, scaler: dict[str, Any], state: TrainState
) -> None:
    """Write the checkpoint of `state.step`, then remove those that are no longer needed."""
    target = directory / f"step-{state.step:08d}"
    weights = trainable_weights(model)
    with files.replacing_directory(target) as temporary:
        save_file({name: weight.detach().contiguous() for name, weight in weights.items()}, temporary / WEIGHTS)
        save_file(_optimizer_tensors(optimizer, list(weights)), temporary / OPTIMIZER)
        saved = {"state": asdict(state), "random": _random_state(), "scaler": scaler}
        (temporary / STATE).write_text(json.dumps(saved), encoding="utf-8")
        listed = {p.name: {"bytes": p.stat().st_size, "sha256": files.sha256(p)} for p in sorted(temporary.iterdir())}
        (temporary / COMMIT).write_text(json.dumps(listed), encoding="utf-8")
    _prune(directory)


def latest(directory: Path) -> Path | None:
    """The newest whole checkpoint whose best checkpoint is whole too; newer, damaged ones are removed with a warning."""
    for candidate in sorted(directory.glob("step-*"), reverse=True):
        if is_whole(candidate) and is_whole(best(candidate)):
            return candidate
        progress.warn(f"{candidate} is damaged and cannot be gone on from; it is removed")
        _remove(candidate)
    return None


def best(checkpoint: Path) -> Path:
    """The checkpoint with the lowest validation loss, as seen from `checkpoint`."""
    return checkpoint.parent / f"step-{read_state(checkpoint).best_step:08d}"


def is_whole(checkpoint: Path) -> bool:
    """Whether every file is there as it was written."""
    try:
        listed = files.read_json(checkpoint / COMMIT)
        return all(
            (checkpoint / name).stat().st_size == entry["bytes"] and files.sha256(checkpoint / name) == entry["sha256"]
            for name, entry in listed.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def read_state(checkpoint: Path) -> TrainState:
    """Where training stood."""
    return TrainState(**files.read_json(checkpoint / STATE)["state"])


def restore(
    checkpoint: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[TrainState, dict[str, Any]]:
    """Put weights, optimizer and random generators back as they were; returns the state and the scaler's numbers."""
    restore_weights(checkpoint, model)
    _restore_optimizer(optimizer, load_file(checkpoint / OPTIMIZER), list(trainable_weights(model)))
    saved = files.read_json(checkpoint / STATE)
    _restore_random(saved["random"])
    return TrainState(**saved["state"]), saved["scaler"]


def restore_weights(checkpoint: Path, model: torch.nn.Module) -> None:
    """Put only the weights back."""
    load_weights(model, load_file(checkpoint / WEIGHTS))


def _prune(directory: Path) -> None:
    """Keep the two newest checkpoints and what each of them calls the best."""
    newest = sorted(directory.glob("step-*"), reverse=True)[:2]
    keep = {path for checkpoint in newest for path in (checkpoint, best(checkpoint))}
    for path in set(directory.glob("step-*")) - keep:
        _remove(path)


def _remove(checkpoint: Path) -> None:
    files.remove(checkpoint / COMMIT)  # first, so that a half-removed one is never taken for whole
    files.remove(checkpoint)


def _optimizer_tensors(optimizer: torch.optim.Optimizer, names: list[str]) -> dict[str, torch.Tensor]:
    """AdamW's moments under `<moment>/<weight's name>`."""
    state = optimizer.state_dict()["state"]
    order = _parameter_order(optimizer, names)
    return {
        f"{moment}/{order[index]}": value.contiguous()
        for index, moments in state.items()
        for moment, value in moments.items()
    }


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor], names: list[str]) -> None:
    positions = {name: index for index, name in enumerate(_parameter_order(optimizer, names))}
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        moment, name = key.split("/", 1)
        state.setdefault(positions[name], {})[moment] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _parameter_order(optimizer: torch.optim.Optimizer, names: list[str]) -> list[str]:
    """Names in the optimizer's own order; `optimizer_for` puts them into each group's `names`."""
    ordered = [name for group in optimizer.param_groups for name in group["names"]]
    if sorted(ordered) != sorted(names):
        raise ValueError("optimizer and model hold different weights")
    return ordered


def _random_state() -> dict[str, Any]:
    """All generators that training may draw from, as JSON."""
    _, keys, position, has_gauss, cached = np.random.get_state()
    version, internal, gauss = random.getstate()
    return {
        "python": [version, list(internal), gauss],
        "numpy": [np.asarray(keys).tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state().tolist(),
        "cuda": [state.tolist() for state in torch.cuda.get_rng_state_all()] if torch.cuda.is_available() else [],
    }


def _restore_random(saved: dict[str, Any]) -> None:
    version, internal, gauss = saved["python"]
    random.setstate((version, tuple(internal), gauss))
    keys, position, has_gauss, cached = saved["numpy"]
    np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(torch.tensor(saved["torch"], dtype=torch.uint8))
    if saved["cuda"]:
        torch.cuda.set_rng_state_all([torch.tensor(state, dtype=torch.uint8) for state in saved["cuda"]])
