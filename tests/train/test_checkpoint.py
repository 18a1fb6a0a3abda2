from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from pakar import files, recipe
from pakar.train import checkpoint, optimizer_state, random_state
from pakar.train.adapter import make_trainable, trainable_weights
from pakar.train.checkpoint import Position, Snapshot, TrainState
from pakar.train.optimizer import optimizer_for
from tests import tiny

NAMES = [checkpoint.WEIGHTS, checkpoint.OPTIMIZER, checkpoint.STATE]


def made(seed: int = 0) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = make_trainable(tiny.model(seed), recipe.Lora(rank=2))
    return model, optimizer_for(model, recipe.Train())


def learn(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    ids = torch.randint(6, 320, (2, 9))
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def snapshot(model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: TrainState) -> Snapshot:
    return Snapshot(
        weights=checkpoint.weights_of(model),
        optimizer=optimizer_state.capture(optimizer),
        scaler={},
        random=[random_state.capture()],
        state=state,
        position=Position({"seed": "1"}, order="o", total_steps=9),
    )


def saved(directory: Path, *steps: tuple[int, int]) -> Path:
    """Checkpoints of (step, best step) one after the other; the directory that holds them."""
    model, optimizer = made()
    for step, best in steps:
        learn(model, optimizer)
        checkpoint.save(directory, snapshot(model, optimizer, TrainState(step=step, best_step=best)))
    return directory


def at(directory: Path, step: int) -> Path:
    return checkpoint.path_of(directory, step)


def test_a_restored_training_goes_on_exactly(tmp_path: Path) -> None:
    model, optimizer = made()
    learn(model, optimizer)
    checkpoint.save(tmp_path, snapshot(model, optimizer, TrainState(step=1, best_step=1, best_loss=2.0)))
    learn(model, optimizer)
    expected = {name: weight.clone() for name, weight in trainable_weights(model).items()}
    other, other_optimizer = made(seed=3)
    torch.manual_seed(99)
    read = checkpoint.read(at(tmp_path, 1))
    checkpoint.restore(read, other, other_optimizer)
    random_state.restore(read.random[0])
    base = {name: weight for name, weight in model.state_dict().items() if "lora_" not in name}
    other.load_state_dict(base, strict=False)
    learn(other, other_optimizer)
    assert read.state == TrainState(step=1, best_step=1, best_loss=2.0)
    assert all(torch.equal(weight, expected[name]) for name, weight in trainable_weights(other).items())


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _uncommitted(path: Path) -> None:
    (path.parent / checkpoint.COMMIT).unlink()


def _swapped_with_the_one_before(path: Path) -> None:
    shutil.copy(at(path.parents[1], 1) / path.name, path)


def _unlisted(path: Path) -> None:
    commit = files.read_json(path.parent / checkpoint.COMMIT)
    del commit["files"][path.name]
    (path.parent / checkpoint.COMMIT).write_text(json.dumps(commit))


@pytest.mark.parametrize(
    "harm", [_truncated, _flipped, _emptied, Path.unlink, _uncommitted, _unlisted, _swapped_with_the_one_before]
)
@pytest.mark.parametrize("name", NAMES)
def test_a_harmed_checkpoint_is_told_and_the_one_before_is_found(
    tmp_path: Path, harm: Callable[[Path], None], name: str
) -> None:
    saved(tmp_path, (1, 1), (2, 1))
    harm(at(tmp_path, 2) / name)
    found = checkpoint.look(tmp_path)
    assert found.newest == at(tmp_path, 1)
    assert list(found.harmed) == [at(tmp_path, 2)]
    assert name in found.harmed[at(tmp_path, 2)] or checkpoint.COMMIT in found.harmed[at(tmp_path, 2)]


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]", b'{"format": 2, "step": 2, "files": {}}', b"\xff"])
def test_a_marker_that_says_nothing_marks_nothing(tmp_path: Path, content: bytes) -> None:
    saved(tmp_path, (1, 1), (2, 1))
    (at(tmp_path, 2) / checkpoint.COMMIT).write_bytes(content)
    assert checkpoint.look(tmp_path).newest == at(tmp_path, 1)


def test_a_checkpoint_under_another_steps_name_is_never_found(tmp_path: Path) -> None:
    saved(tmp_path, (1, 1), (2, 1))
    at(tmp_path, 2).rename(at(tmp_path, 7))
    found = checkpoint.look(tmp_path)
    assert found.newest == at(tmp_path, 1)
    assert "holds step 2" in found.harmed[at(tmp_path, 7)]


def test_empty_and_half_made_directories_are_never_found(tmp_path: Path) -> None:
    saved(tmp_path, (1, 1))
    at(tmp_path, 2).mkdir()
    shutil.copytree(at(tmp_path, 1), tmp_path / ".step-00000003.0123abcd.tmp")
    half = shutil.copytree(at(tmp_path, 1), at(tmp_path, 4))
    (half / checkpoint.COMMIT).unlink()
    found = checkpoint.look(tmp_path)
    assert (found.newest, set(found.harmed)) == (at(tmp_path, 1), {at(tmp_path, 2), at(tmp_path, 4)})
    files.sweep(tmp_path)
    assert not list(tmp_path.glob(".*"))


def test_a_checkpoint_of_another_format_is_told_as_such(tmp_path: Path) -> None:
    saved(tmp_path, (1, 1))
    commit = at(tmp_path, 1) / checkpoint.COMMIT
    commit.write_text(json.dumps(files.read_json(commit) | {"format": 99}))
    assert "format 99" in checkpoint.look(tmp_path).harmed[at(tmp_path, 1)]


def test_a_checkpoint_whose_best_one_is_harmed_is_not_enough(tmp_path: Path) -> None:
    saved(tmp_path, (1, 1), (2, 2), (3, 2))
    _flipped(at(tmp_path, 2) / checkpoint.WEIGHTS)
    found = checkpoint.look(tmp_path)
    assert found.newest is None
    assert "best one" in found.harmed[at(tmp_path, 3)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("whole"), (1, 1))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from([*NAMES, checkpoint.COMMIT]), place=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255)
)
def test_no_changed_byte_anywhere_is_ever_loaded(whole: Path, name: str, place: float, bits: int) -> None:
    path = at(whole, 1) / name
    content = path.read_bytes()
    position = int(place * len(content))
    try:
        path.write_bytes(content[:position] + bytes([content[position] ^ bits]) + content[position + 1 :])
        harmless = name == checkpoint.COMMIT and _same_meaning(content, path.read_bytes())
        assert (checkpoint.look(whole).newest is None) is not harmless
    finally:
        path.write_bytes(content)


def _same_meaning(before: bytes, after: bytes) -> bool:
    """Of the marker a blank may change into another one."""
    try:
        return bool(json.loads(before) == json.loads(after))
    except ValueError:
        return False


def test_only_the_newest_two_and_their_best_are_kept(tmp_path: Path) -> None:
    saved(tmp_path, (1, 1), (2, 2), (3, 2), (4, 2), (5, 2))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000002", "step-00000004", "step-00000005"]


def test_nothing_in_a_checkpoint_can_run_code_and_other_programs_can_read_it(tmp_path: Path) -> None:
    saved(tmp_path, (1, 1))
    assert {path.suffix for path in at(tmp_path, 1).iterdir()} == {".safetensors", ".json"}
    assert files.read_json(at(tmp_path, 1) / checkpoint.STATE)["random"][0]["torch"]
    with safe_open(at(tmp_path, 1) / checkpoint.OPTIMIZER, "pt") as opened:
        assert any(name.startswith("exp_avg_sq/base_model.") for name in opened.keys())  # noqa: SIM118 - it is no dictionary


def test_a_save_that_fails_leaves_the_checkpoints_before_it(tmp_path: Path) -> None:
    saved(tmp_path, (1, 1))
    model, optimizer = made()
    broken = Snapshot(
        checkpoint.weights_of(model),
        optimizer_state.capture(optimizer),
        {"scale": {1, 2}},  # a set is not JSON
        [],
        TrainState(step=2, best_step=2),
        Position({}, "", 9),
    )
    with pytest.raises(TypeError):
        checkpoint.save(tmp_path, broken)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"]
    assert checkpoint.look(tmp_path).newest == at(tmp_path, 1)


def test_older_checkpoints_stay_until_the_new_one_reads_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path, (1, 1), (2, 2))
    monkeypatch.setattr(checkpoint, "defect", lambda path: "cut off")
    with pytest.raises(OSError, match="step 4 was not written as it should be: cut off"):
        saved(tmp_path, (4, 4))
    monkeypatch.undo()
    assert {at(tmp_path, 1), at(tmp_path, 2)} <= set(tmp_path.iterdir())


def test_a_state_with_fields_of_another_version_is_told_and_never_gone_on_from(tmp_path: Path) -> None:
    saved(tmp_path, (1, 1))
    path = at(tmp_path, 1) / checkpoint.STATE
    written = files.read_json(path)
    path.write_text(json.dumps({**written, "state": {**written["state"], "mood": 3}}))
    commit = files.read_json(at(tmp_path, 1) / checkpoint.COMMIT)
    commit["files"][checkpoint.STATE] = {"bytes": path.stat().st_size, "sha256": files.sha256(path)}
    files.write_json(at(tmp_path, 1) / checkpoint.COMMIT, commit)
    newest, harmed = checkpoint.look(tmp_path)
    assert newest is None
    assert "another version of Pakar" in harmed[at(tmp_path, 1)]
    assert "mood" in harmed[at(tmp_path, 1)]
