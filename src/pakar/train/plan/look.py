"""Put the plan of a training together. Starts nothing, loads no weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pakar.models.architecture import architecture
from pakar.recipe import Launch, Recipe
from pakar.train.plan.advice import changes
from pakar.train.plan.content import Setting, TrainingPlan
from pakar.train.plan.cost import disk_needed, time_needed
from pakar.train.plan.devices import Device, rate, this_machine
from pakar.train.plan.needs import FORMATS, Reckoner
from pakar.train.plan.spread import Spread
from pakar.train.plan.workload import Lengths, Workload


def look(
    recipe: Recipe, *, device: Device | None = None, data: Lengths | None = None, runs_dir: Path = Path()
) -> TrainingPlan:
    """Plan a training.

    Args:
        recipe: What would be done.
        device: Where; None for this machine.
        data: What is known of the rows; None if they are not at hand.
        runs_dir: Where it would be written.

    Raises:
        RecipeError: the base model is not known, or the method does not suit it.
    """
    base = architecture(recipe.model)
    reckoner = Reckoner(base, device or this_machine(), data)
    if device is None:
        measured = rate(reckoner.device.kind, FORMATS[reckoner.precision(recipe)])
        reckoner.device = reckoner.device._replace(flops=measured, measured=True)
    section = recipe.train
    numbers, work, needs = reckoner.weights(section.method), reckoner.work(recipe), reckoner.needs(recipe)
    checkpointing, shared = needs.setting.checkpointing, reckoner.spread(recipe)
    return TrainingPlan(
        base=recipe.model.base,
        origin=base.origin,
        method=section.method.kind,
        weights=numbers,
        setting=needs.setting,
        device=reckoner.device,
        memory=needs.memory,
        work=work,
        time=time_needed(
            numbers, work, method=section.method, checkpointing=checkpointing, device=reckoner.device, spread=shared
        ),
        disk=disk_needed(
            numbers, optimizer=section.optimizer, present=base.present, method=section.method, runs_dir=runs_dir
        ),
        changes=() if needs.memory.total <= reckoner.device.memory else changes(recipe, needs, reckoner),
        remarks=(*_of_processes(recipe.train.launch, shared), *_remarks(reckoner.device, needs.setting, work)),
    )


def _of_processes(launch: Launch, shared: Spread) -> Iterator[str]:
    if launch.kind == "processes" and launch.count is None and shared.processes == 1:
        yield "train.launch.count is empty, and no GPUs are here to be counted: one process is planned for."
    if shared.processes > 1:
        place = "of all of them together" if shared.together else "of each GPU; the time is that of all together"
        yield f"{shared.processes} processes: memory is that {place}."


def _remarks(device: Device, setting: Setting, work: Workload) -> Iterator[str]:
    if device.kind == "cpu":
        yield "On a CPU freed memory is not all handed back; how much is an estimate, so the plan is one too."
    if setting.precision == "float16":
        yield "float16 with loss scaling: the loss is multiplied before the backward pass, and steps that overflow are left out."
    if setting.precision == "bfloat16" and not device.bfloat16:
        yield f"{device.name} does not compute bfloat16 in silicon; train.compute.precision=auto takes a format that it does."
    if not work.measured:
        yield "The data are not at hand: every row is taken to fill the context, so time and memory are upper bounds."
    if work.rows is None:
        yield "The number of rows is not known, so neither are steps and time."
