"""From token shards to the tuned model: the checkpoint with the lowest validation loss. Reads top to bottom."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers

from pakar import files, progress, recipe, records
from pakar.errors import DataError
from pakar.models import base as base_models
from pakar.models.base import BaseModel
from pakar.models.prompt import Renderer, renderer
from pakar.models.tuned import PROVENANCE
from pakar.run import Run, section_fingerprint
from pakar.shards import TokenShards
from pakar.train import (
    allocator,
    checkpoint,
    haste,
    interrupt,
    loop,
    origin,
    plan,
    precision,
    resume,
    room,
    stopping,
    trackers,
)
from pakar.train.adapter import Trainable, load_trainable, load_weights, save, trainable_weights
from pakar.train.checkpoint import Position, TrainState
from pakar.train.launch import sharding, start
from pakar.train.launch.team import Team, expected
from pakar.train.optimizer import moment_bytes
from pakar.train.origin import Origin
from pakar.train.repeatable import repeatable
from pakar.train.saver import Saver
from pakar.train.training import Training
from pakar.train.training import start as begin
from pakar.train.watch import watching

OVERFITTING = 1.02
"""Warn when the last validation loss is this many times the best one."""


def train(run: Run, *, restart: bool = False) -> None:
    """Train the model of a run; an interrupted training goes on from its last whole checkpoint, to the same weights.

    Args:
        run: What to train, and where.
        restart: Throw an unfinished training away and begin again; a finished one stays.

    Raises:
        DataError: there is nothing to train on.
        RecipeError: base model or method cannot be used, or an unfinished training was made from something else.
        ResourceError: memory or disk are not enough; what was saved can be gone on with.
    """
    run.record("prepare")  # whoever has prepared nothing is told so first: a base of the run's own is missing then, too
    base = base_models.find(run.model)
    prompts = renderer(base.tokenizer(), run.recipe.model.system_prompt)
    inputs = _inputs(run, base, prompts)
    if restart:
        _check(run.recipe)
        if records.discard_unfinished(run.stage_dir("train")):
            progress.note("train: the unfinished training is thrown away, as --restart asks")
    made_from = origin.of(run.recipe.train, inputs | {"hardware": _hardware(run)})
    with run.stage(
        "train", _section(run) | inputs, check=partial(_check, run.recipe), saves=run.checkpoints_dir
    ) as work:
        if work is None:
            _say_what_is_not_trained_again(run, made_from)
            return
        resume.check(run.checkpoints_dir, made_from)
        files.write_json(run.training_origin_file, made_from)
        start.train(run, fit)
        allocator.hand_back()
        facts = files.read_json(run.training_file)
        written = sorted(run.model_dir.glob("*.safetensors"))
        work.outputs = {"model": files.tree_sha256(written, run.model_dir)}
        work.provenance = {"base": {"name": base.name, "revision": base.revision, "fingerprint": base.fingerprint}}
        work.counts = {"steps": facts["steps"], "tokens": facts["tokens"]}
        _say(facts)


def fit(run: Run, team: Team) -> None:
    """Train and write the model and training.json, going on from the last checkpoint if there is one.

    Done by every process of a team; its leader alone writes.
    """
    made_from = files.read_json(run.training_origin_file)
    with (
        room.remedies(run.checkpoints_dir, run.recipe.train),
        repeatable(),
        haste.attention_on(base_models.device().type),
    ):
        # 1. Open the shards; refuse to train on nothing.
        train_shards, validation_shards = (TokenShards(run.tokens_dir(name)) for name in ("train", "validation"))
        _check_there_is_something_to_learn(train_shards)
        # 2. Load the base model and unfreeze what the method trains, if it can fit into memory.
        if team.leads and run.recipe.train.launch.kind == "processes":
            plan.check(run.recipe)
        team.wait()
        allocator.keep_compact()
        base = base_models.find(run.model)
        transformers.set_seed(run.recipe.seed)
        model = _load(base, run.recipe.train, team)
        transformers.set_seed(run.recipe.seed + team.rank)  # the same weights everywhere, and dropout of one's own
        training = begin(model, run.recipe.train, train_shards, validation_shards, seed=run.recipe.seed, team=team)
        # 3. Go on from the last checkpoint, if there is one.
        with team.leader_first():  # who clears away what is harmed
            found = resume.find(run.checkpoints_dir, made_from)
        if found is not None:
            resume.restore(found, training, team.rank)
        if team.leads and resume.cut_metrics(run.train_metrics_file, training.state.step):
            progress.note(room.perhaps_killed(run.checkpoints_dir, run.recipe.train))
        # 4. Train, one record per step.
        looked = _follow(training, run, made_from)
    # 5. Take the best checkpoint's weights and write the model.
    if team.leads:
        best = checkpoint.read_weights(checkpoint.path_of(run.checkpoints_dir, training.state.best_step))
        _write_model(run, model, base, best)
        files.write_json(run.training_file, _with_endings(run, training, base) | looked)
    team.wait()


def _load(base: BaseModel, section: recipe.Train, team: Team) -> Trainable:
    """The model to train; one that is to be sharded is not yet on the GPU."""
    compute = precision.compute_dtype(section)
    if not sharding.wanted(section) or team.size == 1:
        return load_trainable(base, section.method, compute)
    storage = sharding.storage(section, compute)
    return load_trainable(base, section.method, compute, storage=storage, to=torch.device("cpu"))


def _check(asked: recipe.Recipe) -> None:
    """Refuse what can be told from recipe, configuration and machine alone: targets, layers, precision, sharding, memory."""
    trackers.check(asked.train.trackers)
    sharding.check(asked.train)
    if not _starts_others_on_gpus(asked.train):
        plan.check(asked)


def _starts_others_on_gpus(section: recipe.Train) -> bool:
    """Whether this process only starts others: to ask a GPU for its free memory would take half a gigabyte of it for the whole training."""
    return section.launch.kind == "processes" and expected().size == 1 and torch.cuda.is_available()


def _section(run: Run) -> dict[str, str]:
    """Fingerprint of the recipe's section, without what changes nothing in what is learnt: who looks on, where and how it is computed."""
    section = run.recipe.train
    same = {
        "checkpoint_every": 1, "trackers": (), "launch": recipe.Here(), "compute": recipe.Compute(),
        "validation": section.validation.model_copy(update={"answers": 0}),
    }  # fmt: skip
    return {"train section": section_fingerprint(section.model_copy(update=same))}


def _hardware(run: Run) -> str:
    """What decides rounding: a resumed training tells when it changed, a finished one is none the worse for it."""
    launch = run.recipe.train.launch
    if launch.kind == "spark":
        return f"workers of {launch.master}"
    return f"{base_models.device().type} {precision.precision(run.recipe.train)}, {torch.get_num_threads()} threads"


def _say_what_is_not_trained_again(run: Run, now: Origin) -> None:
    before = files.read_json_if_whole(run.training_origin_file) or {}
    if changed := origin.unheeded(before, now):
        progress.note(
            f"train: not trained again for {', '.join(changed)}; for that give it another name with --set name=…"
        )


def _inputs(run: Run, base: BaseModel, prompts: Renderer) -> dict[str, str]:
    """Fingerprints of what is trained on, beside the recipe's section. Token shards are read, not trusted.

    Raises:
        DataError: the token shards are not those that prepare wrote.
    """
    recorded = run.output("prepare", "tokens")
    paths = [path for name in ("train", "validation") for path in run.tokens_dir(name).glob("*.arrow")]
    if files.tree_sha256(paths, run.stage_dir("prepare")) != recorded:
        raise DataError(f"the token shards in {run.stage_dir('prepare') / 'tokens'} are not those that prepare wrote",
                        next_step="`pakar prepare RECIPE` writes them again.")  # fmt: skip
    return {
        "seed": str(run.recipe.seed),
        "base model": base.fingerprint,
        "prompt template": prompts.fingerprint,
        "prepared data": recorded,
    }


def _check_there_is_something_to_learn(shards: TokenShards) -> None:
    if not len(shards):
        raise DataError("the training split holds no sequence with a supervised token, so there is nothing to learn",
                        next_step="look at prepare/ledger.json in the run directory, then mend the data or the split.")  # fmt: skip


def _follow(training: Training, run: Run, made_from: Origin) -> dict[str, Any]:
    """Run the loop: write every record at once, show it, save checkpoints, leave when asked to; returns more for training.json."""
    run.train_metrics_file.parent.mkdir(parents=True, exist_ok=True)
    position = Position(made_from, origin.order_fingerprint(training.plan), training.total_steps)
    room.warn_before_start(run.checkpoints_dir, _checkpoint_bytes(training))
    with (
        (run.train_metrics_file if training.team.leads else Path(os.devnull)).open("a", encoding="utf-8") as file,
        interrupt.listening() as stop,
        watching(run, training) as watch,
    ):
        saver = Saver(run.checkpoints_dir, position, stop)

        def save_checkpoint(now: Training) -> None:
            if now.team.leads:
                os.fsync(file.fileno())  # the metrics are never behind the checkpoint that belongs to them
            saver.save(now)

        for record in map(watch.complete, loop.steps(training, save_checkpoint)):
            file.write(json.dumps(record, allow_nan=False) + "\n")
            file.flush()
            watch.show(record)
            if training.team.most(stop.signal):
                save_checkpoint(training)
        return watch.facts()


def _checkpoint_bytes(training: Training) -> int:
    trained = trainable_weights(training.accelerator.unwrap_model(training.model))
    return room.expected_bytes(trained, moment_bytes(training.section.optimizer.kind))


def _write_model(run: Run, model: torch.nn.Module, base: BaseModel, best: Mapping[str, torch.Tensor]) -> None:
    """Weights, tokenizer, chat template and provenance, visible all at once."""
    prompts = renderer(base.tokenizer(), run.recipe.model.system_prompt)
    if not sharding.is_sharded(model):
        load_weights(model, best)
    provenance = {
        "base": base.name, "base_revision": base.revision, "base_fingerprint": base.fingerprint,
        "prompt_fingerprint": prompts.fingerprint, "system_prompt": prompts.system_prompt, "end_id": prompts.end_id,
        "context_tokens": min(run.recipe.model.context_tokens, base.context_limit()),
        "method": run.recipe.train.method.model_dump(mode="json"),
        "base_dtype": str(model.get_input_embeddings().weight.dtype).removeprefix("torch."),  # type: ignore[operator]
    }  # fmt: skip
    with files.replacing_directory(run.model_dir) as temporary:
        save(model, temporary, best if sharding.is_sharded(model) else None)
        prompts.tokenizer.save_pretrained(str(temporary))
        (temporary / PROVENANCE).write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")


def _with_endings(run: Run, training: Training, base: BaseModel) -> dict[str, Any]:
    """The content of training.json, with how answers end; a model in shards cannot answer by itself."""
    facts = _facts(run, training)
    if sharding.is_sharded(training.objective):
        return facts
    prompts = renderer(base.tokenizer(), run.recipe.model.system_prompt)
    model = training.accelerator.unwrap_model(training.model)
    ends = stopping.look(run, model, prompts, min(run.recipe.model.context_tokens, base.context_limit()))
    return stopping.noted(facts, ends, prompts)


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
        "changes": state.changes,
        "warning": _warning(state),
        "precision": {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}[precision.precision(run.recipe.train)],
        "device": str(training.accelerator.device),
        "processes": training.team.size,
        "sharding": "full" if sharding.is_sharded(training.objective) else "none",
        "settled": state.settled,
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
    for warning in filter(None, (facts["warning"], facts.get("answers_warning"))):
        progress.warn(warning)
