"""Starting and ending several processes, as far as none needs to be started."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from pakar import machine, recipe
from pakar.errors import DataError, RecipeError, UserError
from pakar.run import Run
from pakar.train import memory, packing
from pakar.train.launch import failure, processes, sharding, spark, team
from pakar.train.launch.team import ALONE, Team
from tests import tiny


def test_one_process_gets_the_step_as_it_is() -> None:
    members = np.array([3, 1, 2])
    assert packing.deal(members, np.array([9, 1, 5, 7]), 1)[0] is members


def test_the_words_of_the_first_failure_win(tmp_path: Path) -> None:
    file = tmp_path / "train" / "failure.json"
    file.parent.mkdir()
    assert failure.leave(file, 1, DataError("row 7 is empty", next_step="fill it."))
    assert not failure.leave(file, 0, RuntimeError("Connection closed by peer [127.0.0.1]:4711"))
    told = failure.take(file)
    assert isinstance(told, UserError)
    assert (told.what, told.next_step, told.exit_code) == ("row 7 is empty", "fill it.", 4)
    assert failure.take(file) is None


def test_a_fault_of_the_program_keeps_its_traceback_and_its_process(tmp_path: Path) -> None:
    with pytest.raises(KeyError) as caught:
        dict[str, int]()["who"]
    failure.leave(tmp_path / "failure.json", 3, caught.value)
    told = failure.take(tmp_path / "failure.json")
    assert isinstance(told, failure.ProcessFaultError)
    assert "in process 3" in str(told)
    assert "KeyError: 'who'" in str(told)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("[gloo/transport/tcp/pair.cc:538] Connection closed by peer"), "is gone"),
        (OSError(28, "No space left on device"), "the disk is full"),
        (MemoryError(), "ran out of memory"),
    ],
)
def test_what_other_programs_say_is_put_into_words(error: Exception, expected: str) -> None:
    meant = failure.in_words(error)
    assert isinstance(meant, UserError)
    assert expected in str(meant)


def test_other_errors_are_not_taken_for_a_lost_partner() -> None:
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    assert failure.in_words(error) is error


def test_without_other_processes_nothing_is_exchanged() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.full((3,), 2.0)
    ALONE.add_gradients([weight])
    assert weight.grad.tolist() == [2.0, 2.0, 2.0]
    assert ALONE.add(1.5, 2.0) == [1.5, 2.0]
    assert (ALONE.most(3), ALONE.all(holds=True), ALONE.gather("a")) == (3, True, ["a"])
    assert team.join() is ALONE


def test_torchruns_variables_tell_who_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert team.expected() == Team(2, 4)
    assert not team.expected().leads


def test_processes_are_told_of_each_other_on_the_loopback_address_alone() -> None:
    told = processes._environment(1, 2, 4711)
    assert (told["RANK"], told["WORLD_SIZE"], told["MASTER_ADDR"], told["MASTER_PORT"]) == (
        "1",
        "2",
        "127.0.0.1",
        "4711",
    )
    assert told["GLOO_SOCKET_IFNAME"].startswith("lo")
    assert int(told["OMP_NUM_THREADS"]) >= 1
    assert int(told["PAKAR_PARENT"]) == os.getpid()


def test_the_store_listens_on_the_loopback_address_alone() -> None:
    with processes._store() as port:
        listening = [
            connection.laddr.ip
            for connection in psutil.Process().net_connections("tcp")
            if connection.status == "LISTEN" and connection.laddr.port == port
        ]
    assert set(listening) == {"127.0.0.1"}


def test_as_many_processes_as_asked_for_and_one_without_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert (processes.count(None), processes.count(3)) == (1, 3)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert processes.count(None) == 2
    with pytest.raises(UserError, match=r"train.launch.count = 3.*2 GPU"):
        processes.count(3)


@pytest.mark.parametrize("kind", ["adamw-8bit", "paged-adamw"])
def test_moments_that_cannot_be_spread_are_refused_before_the_start(kind: str) -> None:
    section = recipe.Train.model_validate({"optimizer": kind, "launch": {"kind": "processes", "sharding": "full"}})
    with pytest.raises(RecipeError, match=kind):
        sharding.check(section)
    sharding.check(section.model_copy(update={"launch": recipe.Processes()}))


def test_packed_weights_are_kept_in_the_computations_format_only_where_they_are_sharded() -> None:
    sharded = recipe.Train(launch=recipe.Processes(sharding="full"))
    assert sharding.storage(sharded, torch.bfloat16) == torch.bfloat16
    assert sharding.storage(recipe.Train(), torch.bfloat16) == torch.uint8


def test_a_model_is_sharded_at_its_repeated_blocks() -> None:
    model = tiny.model()
    assert sharding.blocks(model) == list(model.model.layers)


def test_a_local_master_with_too_few_places_is_refused_at_once() -> None:
    with pytest.raises(RecipeError, match=r"count = 3.*local\[2\].*places for 2"):
        spark._check_places(recipe.OnSpark(master="local[2]", count=3))
    spark._check_places(recipe.OnSpark(master="local[*]", count=3))
    spark._check_places(recipe.OnSpark(master="spark://head:7077", count=64))


def test_a_worker_with_other_code_says_so(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="another Pakar"):
        spark.carry_out(str(tmp_path), "0.0.0", "")


def test_a_process_ended_by_the_signal_that_was_passed_on_is_told_by_what_is_saved(tmp_path: Path) -> None:
    run = Run(tmp_path / "q", recipe.Recipe(name="q", prepare=recipe.Prepare(sources=(recipe.Source(path="a.csv"),))))
    assert "before the training began" in str(processes._reason(run, [-15, -15], 15))
    (run.checkpoints_dir / "step-00000003").mkdir(parents=True)
    told = processes._reason(run, [0, -15], 15)
    assert isinstance(told, UserError)
    assert told.exit_code == 143
    assert "goes on from the last checkpoint" in str(told)


def test_processes_on_one_machine_share_its_memory_and_a_containers_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "CONTAINER", tmp_path)
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("200\n")
    assert machine.free_memory() == 800
    assert [memory.fits_beside(size) for size in (400, 401)] == [True, False]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert [memory.fits_beside(size) for size in (100, 101)] == [True, False]
