from __future__ import annotations

import dataclasses
import importlib
import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from pakar import planning
from pakar.errors import RecipeError, ResourceError
from pakar.models.architecture import architecture
from pakar.pipeline import run_all
from pakar.recipe import Recipe
from pakar.train import allocator, plan, room
from pakar.train.plan import devices, weights
from pakar.train.plan.devices import GIB
from tests import tiny

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*gradient_checkpointing:FutureWarning"
)  # of transformers, about its old name


def recipe(base: str = "starter", sources: str = "none.csv", **train: Any) -> Recipe:
    return Recipe.model_validate(
        {"name": "r", "model": {"base": base}, "prepare": {"sources": [{"path": sources}]}, "train": train}
    )


def shown(found: plan.TrainingPlan) -> str:
    out = StringIO()
    plan.show(found, Console(file=out, width=140))
    return out.getvalue()


LLAMA = "meta-llama/Meta-Llama-3-8B"
QLORA = {"kind": "qlora", "rank": 16}
CPU = devices.Device("a computer", "cpu", 8 * GIB, bfloat16=True, flops=None)
ROWS = plan.Lengths(500, np.array([40, 60, 80, 100] * 25), 0.5)


@pytest.mark.parametrize(
    ("base", "method", "trainable", "total"),
    [
        # Published for bloomz-560m and gpt2-large with rank 4: 393,216 of 559,607,808, and 737,280.
        ("bigscience/bloomz-560m", {"kind": "lora", "rank": 4, "targets": ["query_key_value"]}, 393_216, 559_607_808),
        ("gpt2-large", {"kind": "lora", "rank": 4, "targets": ["c_attn"]}, 737_280, 774_767_360),
        ("meta-llama/Llama-3.2-1B", {"kind": "full"}, 1_235_814_400, 1_235_814_400),
    ],
)
def test_weights_are_counted_exactly(base: str, method: dict[str, Any], trainable: int, total: int) -> None:
    made = recipe(base, method=method)
    counted = weights.count(architecture(made.model).config, made.train.method)
    assert (counted.trainable, counted.total) == (trainable, total)


def test_a_model_of_8_billion_weights_is_planned_for_a_gpu_one_does_not_have() -> None:
    found = plan.look(recipe(LLAMA, method=QLORA), device=plan.named("T4"), data=ROWS)
    assert found.fits
    assert found.setting.precision == "float16"
    parts = {part.name: part.bytes for part in found.memory.components}
    # 6,979,321,856 matrix weights in 4 bits, 0.127 bits of scales each (Dettmers et al. 2023), the rest in 16 bits.
    assert parts["base weights"] == 6_979_321_856 // 2 + 2 * 1_050_939_392
    assert parts["scales of the 4-bit blocks"] == pytest.approx(6_979_321_856 * 0.127 / 8, rel=0.01)
    assert parts["adapters"] == 4 * 41_943_040
    assert parts["optimizer moments"] == 8 * 41_943_040
    assert found.memory.total == sum(parts.values())


@pytest.fixture(scope="module")
def too_large() -> plan.TrainingPlan:
    return plan.look(recipe("gpt2-large", method={"kind": "full"}), device=plan.named("8GiB"), data=ROWS)


def test_what_does_not_fit_gets_changes_in_order_and_the_last_one_fits(too_large: plan.TrainingPlan) -> None:
    found = too_large
    assert not found.fits
    assert found.changes
    assert found.changes[-1].fits
    assert not any(change.fits for change in found.changes[:-1])
    assert [change.total for change in found.changes] == sorted(
        (change.total for change in found.changes), reverse=True
    )
    text = shown(found)
    assert "Does not fit" in text
    assert f"--set {found.changes[0].override}" in text


def test_a_full_disk_does_not_hide_that_memory_is_too_small(too_large: plan.TrainingPlan) -> None:
    text = shown(dataclasses.replace(too_large, disk=too_large.disk._replace(free=0)))
    assert "The disk is too small" in text
    assert "Does not fit" in text


def test_a_change_does_what_it_says(too_large: plan.TrainingPlan) -> None:
    first = too_large
    tree = recipe("gpt2-large", method={"kind": "full"}).model_dump(mode="json")
    for change in first.changes:
        key, value = change.override.split("=")
        *above, last = key.split(".")
        here = tree
        for part in above:
            here = here[part]
        if last == "kind" and key.startswith("train.method"):
            here.clear()
        here[last] = json.loads(value) if value[0].isdigit() or value in ("true", "false") else value
    again = plan.look(Recipe.model_validate(tree), device=plan.named("8GiB"), data=ROWS)
    assert (again.memory.total, again.fits) == (first.changes[-1].total, True)


def test_passes_grow_with_the_device_and_activations_are_computed_again_only_where_they_must() -> None:
    made = recipe("gpt2", method={"kind": "lora"}, batch_size=4)
    small, large = (plan.look(made, device=plan.named(name)).setting for name in ("2GiB", "A100-80"))
    assert small.rows * small.width < large.rows * large.width
    assert not large.checkpointing


@pytest.mark.parametrize(
    ("name", "gib", "bfloat16"),
    [("T4", 14.6, False), ("nvidia t4", 14.6, False), ("RTX 4090", 23.5, True), ("rtx3090", 23.6, True), ("A100-80GB", 79.2, True), ("16GiB", 16, True), ("24 gb", 24, True)],
)  # fmt: skip
def test_devices_are_known_by_the_names_that_people_use(name: str, gib: float, bfloat16: bool) -> None:
    found = devices.named(name)
    assert found.memory == int(gib * GIB)
    assert found.bfloat16 is bfloat16


def test_an_unknown_device_is_told_with_those_that_are_known() -> None:
    with pytest.raises(RecipeError, match="T4, V100"):
        devices.named("abacus")


def test_a_training_whose_weights_alone_are_too_large_is_refused_with_advice() -> None:
    made = recipe(LLAMA, method={"kind": "full"})
    with pytest.raises(ResourceError, match=r"cannot fit.*T4.*take 89\.75 GiB(.|\n)*--set .*train\.method\.kind=lora"):
        plan.check(made, devices.named("T4"))
    plan.check(recipe(LLAMA, method=QLORA), devices.named("T4"))


def test_a_run_that_cannot_fit_is_refused_before_anything_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pakar.train.plan.gate.this_machine", lambda: CPU)
    made = recipe(LLAMA, method={"kind": "full"})
    with pytest.raises(ResourceError, match="cannot fit"):
        run_all(made, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_training_elsewhere_is_not_measured_by_this_machine() -> None:
    plan.check(recipe(LLAMA, method={"kind": "full"}, launch={"kind": "spark"}), devices.named("T4"))


def test_products_that_are_remembered_count_on_cpus_in_bfloat16_alone() -> None:
    parts = {
        form: {
            part.name: part.bytes
            for part in plan.look(recipe(compute={"precision": form}), device=CPU, data=ROWS).memory.components
        }
        for form in ("bfloat16", "float32")
    }
    more = parts["bfloat16"]["libraries"] - parts["float32"]["libraries"]
    assert more == allocator.DESCRIPTIONS * allocator.DESCRIPTION_BYTES
    assert parts["bfloat16"]["holes in the heap"] > 0


def test_time_follows_tokens_and_says_that_it_is_an_estimate() -> None:
    once, twice = (plan.look(recipe(epochs=n), device=plan.named("T4"), data=ROWS).time.seconds for n in (1, 2))
    assert once is not None
    assert twice is not None
    assert twice == pytest.approx(2 * once)
    assert "an estimate" in shown(plan.look(recipe(), device=plan.named("T4"), data=ROWS))


def test_without_data_training_is_planned_and_the_problem_told(tmp_path: Path) -> None:
    made = recipe(LLAMA, str(tmp_path / "none.csv"), method=QLORA)
    question = planning.Question(rows=100, show=0, device="T4", runs_dir=tmp_path)
    found = planning.look(made, question)
    assert found.preparation is None
    assert found.exit_code == 0
    assert "none.csv" in planning.as_json(found)["problem"]
    here = planning.look(recipe(sources=str(tmp_path / "none.csv")), question._replace(device=""))
    assert here.exit_code == 4


def test_both_halves_meet_in_one_object(tmp_path: Path, tiny_base: Path) -> None:
    data = tiny.write_pairs(tmp_path / "rows.csv", tiny.pairs(40))
    made = recipe(str(tiny_base), str(data), batch_size=4)
    found = planning.as_json(planning.look(made, planning.Question(100, 0, "", tmp_path)))
    told = json.loads(json.dumps(found))
    assert told["rows"]["looked_at"] == 40
    assert told["training"]["steps"] == 3 * -(-32 // 4)
    assert told["training"]["lengths_measured"]
    assert told["training"]["fits"]
    assert not list(tmp_path.glob("runs*"))


def test_rows_with_nothing_to_learn_are_named(tmp_path: Path, tiny_base: Path) -> None:
    data = tiny.write_pairs(tmp_path / "rows.csv", [*tiny.pairs(10), ("Why? " * 200, "So."), ("What?", "")])
    found = planning.look(recipe(str(tiny_base), str(data)), planning.Question(100, 0, "T4", tmp_path))
    assert found.preparation is not None
    assert [row for _, row in found.preparation.unlearnable] == [11, 12]


EIGHT = {"kind": "processes", "count": 8}
A100 = devices.named("A100-80")


def test_weights_gradients_and_moments_are_planned_as_spread_as_they_will_be() -> None:
    one, eight = (
        plan.look(recipe("gpt2-large", method={"kind": "full"}, launch=launch), device=A100, data=ROWS)
        for launch in ({"kind": "here"}, {**EIGHT, "sharding": "full"})
    )
    before, after = ({part.name: part.bytes for part in found.memory.components} for found in (one, eight))
    for name in ("base weights", "gradients", "optimizer moments"):
        assert after[name] == pytest.approx(before[name] / 8, rel=1e-6)
    assert before["activations"] == after["activations"]
    assert after["weights made whole"] > 0
    assert "8 processes" in shown(eight)


def test_what_fits_only_spread_over_gpus_is_not_refused() -> None:
    full: dict[str, Any] = {"method": {"kind": "full"}}
    plan.check(recipe(LLAMA, **full, launch={**EIGHT, "sharding": "full"}), A100)
    with pytest.raises(ResourceError, match=r"cannot fit.*89\.75 GiB(.|\n)*train\.launch\.sharding=full"):
        plan.check(recipe(LLAMA, **full, launch=EIGHT), A100)


def test_several_gpus_share_the_time_and_several_processes_the_memory_of_a_cpu() -> None:
    once, eighth = (
        plan.look(recipe(launch=launch), device=A100, data=ROWS).time.seconds for launch in ({"kind": "here"}, EIGHT)
    )
    assert once is not None
    assert eighth == pytest.approx(once / 8)
    cpu = devices.Device("a computer", "cpu", 64 * GIB, bfloat16=False, flops=1e12)
    alone, together = (
        plan.look(recipe(launch=launch), device=cpu, data=ROWS) for launch in ({"kind": "here"}, {**EIGHT, "count": 2})
    )
    assert together.memory.total == 2 * alone.memory.total
    assert together.time.seconds == alone.time.seconds


def test_moments_in_8_bits_are_not_advised_where_they_cannot_be_spread() -> None:
    made = recipe(LLAMA, method={"kind": "full"}, launch={**EIGHT, "count": 2, "sharding": "full"})
    found = plan.look(made, device=devices.named("T4"), data=ROWS)
    assert found.changes
    assert not any("8bit" in change.override for change in found.changes)


@pytest.mark.parametrize(("precision", "device"), [("float16", ""), ("bfloat16", "T4")])
def test_a_format_that_training_would_refuse_is_refused_by_the_plan(
    precision: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*_: object) -> float:
        raise AssertionError("nothing is measured in a format that cannot be")

    monkeypatch.setattr(importlib.import_module("pakar.train.plan.look"), "rate", measured)
    with pytest.raises(RecipeError, match=f"train.compute.precision: {precision} cannot be used here"):
        plan.look(recipe(compute={"precision": precision}), device=devices.named(device) if device else None)


def test_as_much_disk_is_planned_for_as_is_warned_of_before_the_start() -> None:
    found = plan.look(recipe(), device=A100, data=ROWS)
    weights = {"w": torch.empty(found.weights.trainable, device="meta")}
    assert found.disk.checkpoints == room.KEPT * room.expected_bytes(weights, 4)


def test_what_is_called_free_on_a_gpu_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "is_available": True,
        "mem_get_info": (10, 20),
        "get_device_capability": (9, 0),
        "get_device_name": "G",
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    assert devices.this_machine().memory == 10
