"""Refuse a training that cannot fit, before hours are spent on it. Cheap: counts weights, and plans only where it must explain."""

from __future__ import annotations

from pakar.errors import ResourceError
from pakar.models.architecture import architecture
from pakar.recipe import Recipe
from pakar.train.plan.devices import Device, this_machine
from pakar.train.plan.look import look
from pakar.train.plan.memory import lasting
from pakar.train.plan.needs import FORMATS, Reckoner
from pakar.train.plan.spread import shared_out
from pakar.train.plan.terminal import size


def check(recipe: Recipe, device: Device | None = None) -> None:
    """See to it that at least what lasts through the training (weights, adapters, moments) fits into the device's memory.

    Activations are not counted: the loop makes its passes as small as it must.

    Args:
        recipe: What is about to start.
        device: Where; None for this machine.

    Raises:
        ResourceError: it cannot fit; says what to change.
        RecipeError: the base model is not known, the method does not suit it or trains nothing of it, or the device cannot
            train with its precision.
    """
    device = device or this_machine()
    reckoner = Reckoner(architecture(recipe.model), device)
    section = recipe.train
    weights = reckoner.weights(section.method)
    if section.launch.kind == "spark":
        return  # it computes on other machines
    parts = lasting(weights, section, FORMATS[reckoner.precision(recipe)])
    least = sum(part.bytes for part in shared_out(parts, reckoner.spread(recipe)))
    if least <= device.memory:
        return
    found = look(recipe, device=device)
    ways = [f"--set {change.override} ({size(change.total)})" for change in found.changes]
    step = (
        f"try, each on top of those before it: {', '.join(ways)}"
        if ways
        else "take a smaller base model or a larger device"
    )
    raise ResourceError(f"training cannot fit into the memory of {device.name}: weights and optimizer alone take {size(least)}, {size(device.memory)} are there",
                        next_step=f"{step}; `pakar plan` shows where the memory goes.")  # fmt: skip
