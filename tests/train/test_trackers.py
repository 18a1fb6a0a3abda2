from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pakar import records
from pakar.errors import RecipeError
from pakar.train import trackers

RECIPE = {"seed": 7, "train": {"method": {"kind": "lora", "rank": 4}, "learning_rate": 2e-4}}


def record(step: int) -> dict[str, Any]:
    found: dict[str, Any] = {"step": step, "loss": 3 / step, "learning_rate": 1e-3, "tokens": 10 * step}
    return found | ({"validation_loss": 4 / step} if step % 2 == 0 else {})


def tensorboard_steps(directory: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415

    events = EventAccumulator(str(directory))
    events.Reload()
    return {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def mlflow_runs(directory: Path) -> Iterator[tuple[Any, dict[str, list[tuple[int, float]]]]]:
    from mlflow import MlflowClient  # noqa: PLC0415

    client = MlflowClient(tracking_uri=f"sqlite:///{directory / 'mlflow.db'}")
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            history = {
                name: [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, name)]
                for name in run.data.metrics
            }
            yield run, history


def killed_and_resumed(name: trackers.Name, directory: Path) -> None:
    """Six steps, of which the last two are behind the checkpoint when the training is interrupted; then up to step 9."""

    def track(past: list[dict[str, Any]], steps: range, *, kill: bool) -> None:
        with trackers.tracking([name], directory, run_name="tiny", parameters=RECIPE, past=past) as (tracker,):
            for step in steps:
                tracker.add(record(step))
            if kill:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        track([], range(1, 7), kill=True)
    track([record(step) for step in range(1, 5)], range(5, 10), kill=False)


def expected(name: str) -> list[Any]:
    return [(step, pytest.approx(record(step)[name])) for step in range(1, 10) if name in record(step)]


def test_tensorboard_has_every_step_once_after_a_resume(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    killed_and_resumed("tensorboard", tmp_path)
    found = tensorboard_steps(tmp_path / "tensorboard")
    assert found.keys() == {"loss", "learning_rate", "tokens", "validation_loss"}
    for name, steps in found.items():
        assert steps == expected(name)


@pytest.mark.filterwarnings("ignore")
def test_mlflow_goes_on_in_the_same_run_with_every_step_once(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    killed_and_resumed("mlflow", tmp_path)
    ((run, history),) = mlflow_runs(tmp_path / "mlflow")
    assert run.data.params["train.method.rank"] == "4"
    assert run.data.params["seed"] == "7"
    assert run.info.status == "FINISHED"
    for name in ("loss", "validation_loss", "tokens"):
        assert history[name] == expected(name)
    assert not list(tmp_path.rglob("mlruns"))  # never a store of files


@pytest.mark.filterwarnings("ignore")
def test_an_interrupted_training_is_marked_so(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")

    def interrupted() -> None:
        with trackers.tracking(["mlflow"], tmp_path, run_name="tiny", parameters={}, past=[]) as (tracker,):
            tracker.add(record(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    ((run, history),) = mlflow_runs(tmp_path / "mlflow")
    assert (run.info.status, history["loss"]) == ("KILLED", [(1, 3.0)])


@pytest.mark.parametrize(("name", "module"), [("tensorboard", "tensorboard"), ("mlflow", "alembic")])
def test_a_missing_program_is_told_with_the_command_that_installs_it(
    name: trackers.Name, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = trackers.importlib.util.find_spec  # type: ignore[attr-defined]
    monkeypatch.setattr("importlib.util.find_spec", lambda one: None if one == module else real(one))
    with pytest.raises(RecipeError, match=f"train.trackers names {name}, but {module} is not installed") as caught:
        trackers.check([name])
    assert f"pip install 'pakar[{name}]'" in str(caught.value.next_step)


def test_importing_them_loads_nothing(tmp_path: Path) -> None:
    import subprocess  # noqa: PLC0415

    code = "import sys, pakar.train.trackers; print([m for m in ('mlflow', 'tensorboard', 'sqlalchemy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"


def test_names_are_flattened_as_set_writes_them() -> None:
    assert dict(records.flattened(RECIPE)) == {
        "seed": 7, "train.method.kind": "lora", "train.method.rank": 4, "train.learning_rate": 2e-4,
    }  # fmt: skip
