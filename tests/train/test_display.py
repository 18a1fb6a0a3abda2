from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pakar import progress
from pakar.train.display import BARS, Course, Display, Standing, duration, showing, sparkline


def record(step: int, loss: float, **more: float) -> dict[str, Any]:
    return {"step": step, "loss": loss, "learning_rate": 2e-4, "tokens_per_second": 1234.0, **more}


def test_all_figures_are_told_with_the_best_validation_loss() -> None:
    display = Display(Standing(0, 40, best_loss=3.5, last_loss=3.5))
    display.add(record(1, 3.2, memory_bytes=float(2**30)))
    display.add(record(2, 3.0, validation_loss=2.5, memory_bytes=1.5 * 2**30))
    told = display.figures()
    assert told[:3] == ["step 2 of 40", "loss 3.000", "validation 2.500 (best)"]
    assert told[3:6] == ["learning rate 0.0002", "1,234 tokens/s", "1.5 GiB"]
    assert told[6].endswith(" left")
    display.add(record(3, 2.9, validation_loss=2.75))
    assert "validation 2.750 (best 2.500 at 2)" in display.figures()


def test_a_terminal_shows_bar_figures_and_the_course_of_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=out, force_terminal=True, width=160, height=20))
    with showing(Standing(0, 3)) as display:
        for step in range(1, 4):
            display.add(record(step, 4.0 - step))
    shown = out.getvalue()
    assert "step 3 of 3 · loss 1.000 · learning rate 0.0002 · 1,234 tokens/s" in shown
    assert "█▅▁" in shown or "█▄▁" in shown  # the middle is rounded


def test_without_a_terminal_there_is_a_plain_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    out, clock = io.StringIO(), [0.0]
    monkeypatch.setattr(progress, "console", Console(file=out, force_terminal=False, width=200))
    monkeypatch.setattr("pakar.train.display.time.monotonic", lambda: clock[0])
    with showing(Standing(0, 30)) as display:
        for step in range(1, 31):
            clock[0] += 1.0
            display.add(record(step, 2.0))
    lines = out.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0] == "  training: step 10 of 30, loss 2.000, learning rate 0.0002, 1,234 tokens/s, 20 s left"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400), st.sampled_from([2, 8, 40]))
def test_a_course_keeps_the_mean_in_few_columns(values: list[float], columns: int) -> None:
    course = Course(columns)
    for value in values:
        course.add(value)
    means = course.means()
    assert 1 <= len(means) <= columns
    assert min(values) - 1e-3 <= min(means) <= max(means) <= max(values) + 1e-3
    if len(values) <= columns:
        assert means == values


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=60))
def test_a_sparkline_has_a_sign_for_every_value(values: list[float]) -> None:
    line = sparkline(values)
    assert len(line) == len(values)
    assert set(line) <= {*BARS, " "}


def test_times_read_as_people_say_them() -> None:
    assert [duration(s) for s in (0.4, 59, 61, 3599, 3600, 200_000)] == [
        "0 s", "59 s", "1 min 1 s", "59 min", "1 h 0 min", "2 days 7 h",
    ]  # fmt: skip
