"""What to change in a recipe that does not fit: the gentlest change first, each on top of those before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pakar.recipe import Recipe
from pakar.train.plan.content import Change
from pakar.train.plan.needs import Needs, Reckoner

LEAST_CONTEXT = 256


def changes(recipe: Recipe, now: Needs, reckoner: Reckoner) -> tuple[Change, ...]:
    """Changes until it fits, or until nothing is left to change.

    Args:
        recipe: That does not fit.
        now: What it needs.
        reckoner: For its base model, on the device.
    """
    made: list[Change] = []
    total = now.memory.total
    for key, value in _ideas(recipe, now, reckoner):
        changed = _with(recipe, key, value)
        needs = reckoner.needs(changed).memory.total
        if needs >= 0.99 * total and needs > reckoner.device.memory:
            continue  # it helps nothing here
        recipe, total = changed, needs
        made.append(Change(f"{key}={_yaml(value)}", total, total <= reckoner.device.memory))
        if made[-1].fits:
            break
    return tuple(made)


def _ideas(recipe: Recipe, now: Needs, reckoner: Reckoner) -> Iterator[tuple[str, Any]]:
    """From what costs only time to what costs quality."""
    if not now.setting.checkpointing:
        yield "train.compute.gradient_checkpointing", True
    context, tokens = reckoner.context_tokens(recipe), now.setting.rows * now.setting.width
    while tokens > now.setting.width:
        tokens = max(tokens // 2, now.setting.width)
        yield "train.compute.micro_batch_tokens", tokens
    shared = reckoner.spread(recipe)
    if recipe.train.optimizer.kind == "adamw" and reckoner.device.kind == "gpu" and not shared.sharded:
        if shared.processes > 1 and recipe.train.launch.kind != "here":
            yield "train.launch.sharding", "full"  # which moments in 8 bits cannot be
        else:
            yield "train.optimizer.kind", "adamw-8bit"
    if recipe.train.method.kind == "full":
        yield "train.method.kind", "lora"
    if recipe.train.method.kind != "qlora":
        yield "train.method.kind", "qlora"
    while context // 2 >= LEAST_CONTEXT:
        context //= 2
        yield "model.context_tokens", context


def _with(recipe: Recipe, key: str, value: Any) -> Recipe:
    """The recipe with one value changed; a new kind keeps no fields of the old one that it does not know."""
    tree: dict[str, Any] = recipe.model_dump(mode="json")
    *above, last = key.split(".")
    here = tree
    for part in above:
        here = here[part]
    if key == "train.method.kind" and here["kind"] == "full":
        here.clear()
    here[last] = value
    return Recipe.model_validate(tree)


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
