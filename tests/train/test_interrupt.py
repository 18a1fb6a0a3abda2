from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pakar import files
from pakar.train import interrupt, stage
from pakar.train.interrupt import InterruptedTrainingError
from pakar.train.watch import Watch
from tests.train.test_resume import make_run, weights


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_noted_and_the_handlers_before_come_back(number: int, code: int) -> None:
    ours = signal.signal(number, signal.default_int_handler)  # whoever starts the tests may have it ignored
    before = signal.getsignal(number)
    with interrupt.listening() as stop:
        os.kill(os.getpid(), number)
        assert stop.requested
    assert signal.getsignal(number) == before
    signal.signal(number, ours)
    assert InterruptedTrainingError(stop.signal, "").exit_code == code


def test_the_second_ctrl_c_leaves_at_once() -> None:
    with interrupt.listening() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupt.listening() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert not stop.requested
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_it_just_trains() -> None:
    seen: list[bool] = []

    def listen() -> None:
        with interrupt.listening() as stop:
            seen.append(stop.requested)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert seen == [False]


def test_an_interrupted_training_ends_with_the_weights_of_an_unbroken_one(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = make_run(tmp_path / "unbroken", tiny_base)
    stage.train(unbroken)
    run = make_run(tmp_path, tiny_base, checkpoint_every=100)
    show = Watch.show

    def signalled(watch: Watch, record: Mapping[str, Any]) -> None:
        if record["step"] in (2, 5):
            os.kill(os.getpid(), signal.SIGTERM)
        show(watch, record)

    monkeypatch.setattr(Watch, "show", signalled)
    for step in (2, 5):
        with pytest.raises(InterruptedTrainingError, match=f"step {step} of 9 is saved"):
            stage.train(run)
    stage.train(run)
    assert weights(run) == weights(unbroken)
    assert [record["step"] for record in files.read_json_lines(run.train_metrics_file)] == list(range(1, 10))
