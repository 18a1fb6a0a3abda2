"""Disk and memory that run out while training."""

from __future__ import annotations

import ctypes
import errno
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaMLP

from pakar import recipe
from pakar.errors import ResourceError
from pakar.train import checkpoint, room, stage
from pakar.train.optimizer_state import OptimizerState
from tests.train.test_checkpoint import made, snapshot
from tests.train.test_resume import interrupted, make_run, weights


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 500 KiB."""
    directory = tmp_path / "small"
    directory.mkdir()
    library = ctypes.CDLL(None, use_errno=True)
    if library.mount(b"tmpfs", str(directory).encode(), b"tmpfs", 0, b"size=500k") != 0:
        pytest.skip("mounting a small file system needs more rights")
    yield directory
    library.umount2(str(directory).encode(), 2)  # MNT_DETACH: token shards may still be mapped into memory


def test_a_full_disk_is_told_with_the_bytes_needed_and_training_goes_on_once_there_is_room(
    small_disk: Path,
    tmp_path: Path,
    tiny_base: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    unbroken = make_run(tmp_path / "unbroken", tiny_base)
    stage.train(unbroken)
    run = make_run(small_disk, tiny_base)
    with pytest.raises(ResourceError, match=r"the disk is full: a checkpoint takes .* \([\d,]+ bytes\)") as full:
        stage.train(run)
    assert full.value.exit_code == 5
    told = capfd.readouterr().err
    assert "checkpoints will take" in told  # before the first step
    assert checkpoint.look(run.checkpoints_dir).newest is not None
    assert not list(small_disk.rglob("*.tmp"))
    assert ctypes.CDLL(None).mount(b"tmpfs", str(small_disk).encode(), b"tmpfs", 32, b"size=64m") == 0  # MS_REMOUNT
    stage.train(run)
    assert "goes on from step" in capfd.readouterr().err
    assert weights(run) == weights(unbroken)


def test_a_disk_that_fills_up_amid_a_save_is_told_with_the_bytes_needed(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"1\.5 KiB \(1,536 bytes\)"), room.saving(tmp_path, 1536):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(ValueError, match="other"), room.saving(tmp_path, 1):
        raise ValueError("other")


def test_the_expected_size_of_a_checkpoint_is_its_size(tmp_path: Path) -> None:
    model, optimizer = made()
    for weight in optimizer.param_groups[0]["params"]:
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    taken = snapshot(model, optimizer, checkpoint.TrainState(step=1, best_step=1))
    checkpoint.save(tmp_path, taken)
    on_disk = sum(p.stat().st_size for p in checkpoint.path_of(tmp_path, 1).glob("*.safetensors"))
    assert room.expected_bytes(checkpoint.weights_of(model), 4) == pytest.approx(taken.num_bytes, rel=0.01)
    assert taken.num_bytes <= on_disk <= taken.num_bytes + 200 * len([*taken.weights, *taken.optimizer.tensors])


def test_no_moments_take_no_room() -> None:
    assert OptimizerState({}, {}, []).tensors == {}
    assert room.expected_bytes({"w": torch.zeros(10, dtype=torch.bfloat16)}, 1) == 10 * (2 + 2)


@pytest.mark.parametrize(
    "message", ["", "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 14.74 GiB"]
)
def test_memory_that_runs_out_is_told_once_with_three_remedies_and_training_goes_on_with_one(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], message: str
) -> None:
    run = interrupted(make_run(tmp_path, tiny_base), monkeypatch)

    def exhausted(*_: Any, **__: Any) -> torch.Tensor:
        if message:
            raise torch.OutOfMemoryError(message)
        return torch.empty(2**50)  # the allocator's own error, as it really is

    with monkeypatch.context() as patched:
        patched.setattr(LlamaMLP, "forward", exhausted)
        with pytest.raises(ResourceError) as told:
            stage.train(run)
    assert told.value.exit_code == 5
    assert (message or "can't allocate memory") in told.value.what
    remedies = [line.strip()[:2] for line in told.value.next_step.splitlines()[1:]]
    assert remedies == ["1.", "2.", "3."]
    for words in (
        "micro_batch_tokens=2048",
        "gradient_checkpointing=true",
        "kind=qlora",
        "smaller model.base",
        "goes on",
    ):
        assert words in told.value.next_step
    capfd.readouterr()
    fewer = re.search(r"micro_batch_tokens=(\d+)", told.value.next_step)
    assert fewer is not None
    less = recipe.Compute(precision="float32", micro_batch_tokens=int(fewer[1]))
    stage.train(make_run(tmp_path, tiny_base, compute=less.model_dump()))
    assert "goes on from step 3 of 9" in capfd.readouterr().err
