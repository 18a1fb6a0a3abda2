"""From token shards to the tuned model: the checkpoint with the lowest validation loss. Reads top to bottom."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
import transformers

from pakar import files, progress
from pakar.errors import DataError
from pakar.models import base as base_models
from pakar.models.base import BaseModel
from pakar.models.prompt import Renderer, renderer
from pakar.models.tuned import PROVENANCE
from pakar.run import Run, section_fingerprint
from pakar.shards import TokenShards
from pakar.train import checkpoint, loop
from pakar.train.adapter import make_trainable, save
from pakar.train.checkpoint import TrainState
from pakar.train.loop import StepRecord, Training

OVERFITTING = 1.02
"""Warn when the last validation loss is this many times the best one."""


def train(run: Run) -> None:
    """Train the model of a run; an interrupted training goes on from its last whole checkpoint, to the same weights.

    Raises:
        DataError: there is nothing to train on.
        RecipeError: base model or method cannot be used.
    """
    base = base_models.find(run.recipe.model)
    prompts = renderer(base.tokenizer(), run.recipe.model.system_prompt)
    with run.stage("train", _inputs(run, base, prompts)) as work:
        if work is None:
            return
        # 1. Open the shards; refuse to train on nothing.
        train_shards, validation_shards = (TokenShards(run.tokens_dir(name)) for name in ("train", "validation"))
        _check_there_is_something_to_learn(train_shards)
        # 2. Load the base model and unfreeze what the method trains.
        transformers.set_seed(run.recipe.seed)
        torch.use_deterministic_algorithms(mode=True, warn_only=True)
        model = make_trainable(base.load(), run.recipe.train.method)
        training = loop.start(model, run.recipe.train, train_shards, validation_shards, run.recipe.seed)
        # 3. Go on from the last checkpoint, if there is one.
        _resume(training, run)
        # 4. Train, one record per step.
        _follow(training, run)
        # 5. Take the best checkpoint's weights and write the model.
        unwrapped = training.accelerator.unwrap_model(training.model)
        checkpoint.restore_weights(_best(run, training.state), unwrapped)
        _write_model(run, unwrapped, base, prompts)
        facts = _facts(run, training)
        files.write_json(run.training_file, facts)
        weights = sorted(run.model_dir.glob("*.safetensors"))
        work.outputs = {"model": files.tree_sha256(weights, run.model_dir)}
        work.provenance = {"base": {"name": base.name, "revision": base.revision, "fingerprint": base.fingerprint}}
        work.counts = {"steps": training.state.step, "tokens": training.state.tokens}
        _say(facts)


def _inputs(run: Run, base: BaseModel, prompts: Renderer) -> dict[str, str]:
    return {
        # How often a checkpoint is saved changes nothing in the weights, so it may change while a training is unfinished.
        "train section": section_fingerprint(run.recipe.train.model_copy(update={"checkpoint_every": 1})),
        "seed": str(run.recipe.seed),
        "base model": base.fingerprint,
        "prompt template": prompts.fingerprint,
        "prepared data": run.output("prepare", "tokens"),
        "hardware": f"{base_models.device().type} {loop.precision(run.recipe.train)}, {torch.get_num_threads()} threads",
    }


def _check_there_is_something_to_learn(shards: TokenShards) -> None:
    if not len(shards):
        raise DataError("the training split holds no sequence with a supervised token, so there is nothing to learn",
                        next_step="look at prepare/ledger.json in the run directory, then mend the data or the split.")  # fmt: skip


def _resume(training: Training, run: Run) -> None:
    """Restore the last whole checkpoint and cut the metrics file back to it; without one, begin afresh."""
    found = checkpoint.latest(run.checkpoints_dir)
    if found is None:
        files.remove(run.checkpoints_dir)
        files.remove(run.train_metrics_file)
        return
    unwrapped = training.accelerator.unwrap_model(training.model)
    training.state, scaler = checkpoint.restore(found, unwrapped, training.optimizer)
    if training.accelerator.scaler is not None:
        training.accelerator.scaler.load_state_dict(scaler)
    lines = [
        record for record in files.read_json_lines(run.train_metrics_file) if record["step"] <= training.state.step
    ]
    files.write_json_lines(run.train_metrics_file, lines)
    progress.note(f"train: goes on from step {training.state.step} of {training.total_steps}")


def _follow(training: Training, run: Run) -> None:
    """Run the loop: write every record at once, show progress, save checkpoints."""
    run.train_metrics_file.parent.mkdir(parents=True, exist_ok=True)
    with (
        run.train_metrics_file.open("a", encoding="utf-8") as file,
        progress.track("training", training.total_steps) as tracker,
    ):

        def save_checkpoint(now: Training) -> None:
            os.fsync(file.fileno())  # the metrics are never behind the checkpoint that belongs to them
            unwrapped = now.accelerator.unwrap_model(now.model)
            checkpoint.save(run.checkpoints_dir, unwrapped, now.optimizer, now.scaler_state(), now.state)

        tracker.advance(training.state.step)
        for record in loop.steps(training, save_checkpoint):
            file.write(json.dumps(record) + "\n")
            file.flush()
            tracker.advance(1, _detail(record, training.state))


def _detail(record: StepRecord, state: TrainState) -> str:
    validation = f", validation {state.last_loss:.3f}" if state.last_loss is not None else ""
    return f"loss {record['loss']:.3f}{validation}, {record['tokens_per_second']:,.0f} tokens/s"


def _best(run: Run, state: TrainState) -> Path:
    return run.checkpoints_dir / f"step-{state.best_step:08d}"


def _write_model(run: Run, model: torch.nn.Module, base: BaseModel, prompts: Renderer) -> None:
    """Weights, tokenizer, chat template and provenance, visible all at once."""
    provenance = {
        "base": base.name, "base_revision": base.revision, "base_fingerprint": base.fingerprint,
        "prompt_fingerprint": prompts.fingerprint, "system_prompt": prompts.system_prompt, "end_id": prompts.end_id,
        "context_tokens": min(run.recipe.model.context_tokens, base.context_limit()),
    }  # fmt: skip
    with files.replacing_directory(run.model_dir) as temporary:
        save(model, temporary)  # type: ignore[arg-type]
        prompts.tokenizer.save_pretrained(str(temporary))
        (temporary / PROVENANCE).write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")


def _facts(run: Run, training: Training) -> dict[str, Any]:
    """The content of training.json."""
    state = training.state
    trainable, total = base_models.parameter_counts(training.accelerator.unwrap_model(training.model))
    records = files.read_json_lines(run.train_metrics_file)
    return {
        "method": run.recipe.train.method.kind,
        "trainable_parameters": trainable,
        "total_parameters": total,
        "steps": state.step,
        "epochs": round(state.step / training.plan.steps_per_epoch, 2),
        "best_step": state.best_step,
        "first_validation_loss": state.first_loss,
        "best_validation_loss": state.best_loss,
        "last_validation_loss": state.last_loss,
        "stopped": "early" if state.stopped else "finished",
        "warning": _warning(state),
        "precision": {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}[loop.precision(run.recipe.train)],
        "device": str(training.accelerator.device),
        "tokens": state.tokens,
        "seconds": round(sum(record["seconds"] for record in records), 1),
    }


def _warning(state: TrainState) -> str | None:
    """What is wrong with the course of the validation loss: it never fell, or it has turned up again."""
    if state.best_loss is not None and state.best_step == 0:
        return (
            f"training did not help: the validation loss was never below the {state.best_loss:.3f} of the untrained model, "
            "which was kept. A lower learning rate, or more data, may help."
        )
    if state.last_loss is None or state.best_loss is None or state.last_loss <= OVERFITTING * state.best_loss:
        return None
    return (
        f"over-fitting: the validation loss rose from {state.best_loss:.3f} at step {state.best_step} to {state.last_loss:.3f} at step "
        f"{state.step}; the model of step {state.best_step} was kept. More data, fewer epochs or a lower learning rate help."
    )


def _say(facts: dict[str, Any]) -> None:
    first, best = facts["first_validation_loss"], facts["best_validation_loss"]
    validation = (
        f"; validation loss {first:.3f} → {best:.3f} (best at step {facts['best_step']})" if best is not None else ""
    )
    progress.note(
        f"train: {facts['steps']} steps, {facts['trainable_parameters']:,} of {facts['total_parameters']:,} weights trained{validation}"
    )
    if facts["warning"]:
        progress.warn(facts["warning"])
