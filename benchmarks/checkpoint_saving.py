"""What saving costs: seconds of a checkpoint against seconds of training between two of them, at the default cadence.

Full training in float32 keeps the most per weight: itself and two moments. Steps are real ones (forward, backward, AdamW) of
Llama-shaped models on 16 sequences of 128 tokens; saves are the product's own, forced to the disk.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks import machine
from pakar import recipe
from pakar.train import checkpoint, optimizer_state, random_state
from pakar.train.adapter import trainable_weights
from pakar.train.checkpoint import Position, Snapshot, TrainState

PROMISED = 0.05
SHAPES = {"100 MB": (256, 8), "1 GB": (768, 9)}  # width, layers


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()))
    asked.add_argument("--repeat", type=int, default=5)
    asked.add_argument("--states", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    given = asked.parse_args()
    rows = [row(name, given.dir, given.repeat) for name in given.states]
    machine.publish(
        "checkpoint_saving",
        "# What saving a checkpoint costs",
        f"Medians of {given.repeat}. A checkpoint every {recipe.Train().checkpoint_every} steps is the default. Promised: at most {PROMISED:.0%}.",
        machine.table(rows),
        f"Machine: {machine.describe(['torch', 'safetensors'])}",
    )


def row(name: str, directory: Path, repeat: int) -> dict[str, object]:
    """One line of the table."""
    width, layers = SHAPES[name]
    model = llama(width, layers)
    weights = trainable_weights(model)
    optimizer = torch.optim.AdamW([{"params": list(weights.values()), "names": list(weights)}])
    ids = torch.randint(0, 4096, (16, 128))

    def step() -> None:
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step_seconds = median(step, repeat)
    with tempfile.TemporaryDirectory(dir=directory) as place:

        def save() -> None:
            state = TrainState(step=len(list(Path(place).iterdir())))
            state.best_step = state.step
            checkpoint.save(Path(place), taken(model, optimizer, state))

        save_seconds = median(save, repeat)
    every = recipe.Train().checkpoint_every
    share = save_seconds / (every * step_seconds)
    return {
        "state": name,
        "MB": round(taken(model, optimizer, TrainState()).num_bytes / 1e6),
        "seconds a step": step_seconds,
        "seconds a save": save_seconds,
        "steps that a save costs": save_seconds / step_seconds,
        "share of the training, %": 100 * share,
        "promise": "kept" if share <= PROMISED else "broken",
    }


def llama(width: int, layers: int) -> LlamaForCausalLM:
    """A model of that width, with random weights."""
    config = LlamaConfig(
        vocab_size=4096, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=8
    )
    return LlamaForCausalLM(config)


def taken(model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: TrainState) -> Snapshot:
    """What a checkpoint holds."""
    weights, captured = checkpoint.weights_of(model), optimizer_state.capture(optimizer)
    return Snapshot(weights, captured, {}, [random_state.capture()], state, Position({}, "", 1))


def median(work: Callable[[], None], repeat: int) -> float:
    """Median seconds, after one that does not count."""
    seconds = []
    for _ in range(repeat + 1):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


if __name__ == "__main__":
    main()
