from __future__ import annotations

import contextlib
import errno
from pathlib import Path

import pytest

from pakar import files
from pakar.errors import ResourceError, UserError, out_of_resources


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    files.write_json(path, {"rows": 1})
    with pytest.raises(ValueError, match="Out of range"):
        files.write_json(path, {"rows": float("nan")})
    with contextlib.suppress(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert files.read_json(path) == {"rows": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["ledger.json"]


def test_a_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with contextlib.suppress(RuntimeError), files.replacing_directory(target) as temporary:
        (temporary / "weights").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with files.replacing_directory(target) as temporary:
        (temporary / "weights").write_text("whole")
    assert (target / "weights").read_text() == "whole"


def test_an_empty_directory_is_filled_and_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "mounted"
    target.mkdir()
    before = target.stat().st_ino
    with contextlib.suppress(RuntimeError), files.replacing_directory(target) as temporary:
        (temporary / "weights").write_text("half")
        raise RuntimeError
    assert list(target.iterdir()) == []
    with files.replacing_directory(target) as temporary:
        (temporary / "weights").write_text("whole")
    assert [path.name for path in target.iterdir()] == ["weights"]
    assert target.stat().st_ino == before


def test_a_directory_that_cannot_be_made_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a")
    with pytest.raises(UserError, match=r"cannot write .*rows\.csv/x: a file is in the way"), files.replacing_directory(tmp_path / "rows.csv" / "x"):  # fmt: skip
        pytest.fail("there is nothing to write to")


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert files.read_json_lines(path) == [{"step": 1}, {"step": 2}]


def test_a_full_disk_is_recognised_however_it_is_wrapped() -> None:
    wrapped = RuntimeError("saving failed")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert isinstance(out_of_resources(wrapped), ResourceError)
    assert out_of_resources(ValueError("something else")) is None


@pytest.mark.parametrize(
    ("command", "advice"), [("export", "--as adapter"), ("chat", "one system"), ("train", "micro_batch_tokens")]
)
def test_advice_against_short_memory_fits_the_command(command: str, advice: str) -> None:
    told = out_of_resources(MemoryError(), command)
    assert told is not None
    assert advice in told.next_step
