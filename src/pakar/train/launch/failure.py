"""What ended a training of several processes: the first of them that fails leaves its words, the others keep silent.

The words lie in a file of the run directory, which all processes share; creating it is atomic, so the first one wins. A process
that merely lost its partner fails later, and finds the words already there.
"""

from __future__ import annotations

import json
import re
import traceback
from pathlib import Path

from pakar import files
from pakar.errors import UserError, out_of_resources

_LOST = re.compile(
    r"Connection (closed|reset|refused)|Broken pipe|Socket closed|remote process exited|\[.*gloo.*\]|NCCL"
)


class ProcessFaultError(Exception):
    """A fault of the program in one of the processes, with that process's traceback."""


def leave(file: Path, rank: int, error: BaseException) -> bool:
    """Leave the words of an error; False if another process was first."""
    told = _words(rank, error)
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(json.dumps(told))
    except FileExistsError:
        return False
    return True


def take(file: Path) -> Exception | None:
    """The error that some process left, and remove it; None if there is none."""
    told = files.read_json_if_whole(file)
    file.unlink(missing_ok=True)
    if told is None:
        return None
    if told["fault"]:
        return ProcessFaultError(told["what"])
    error = UserError(told["what"], next_step=told["next_step"])
    error.exit_code = told["exit_code"]
    return error


def lost(rank: int | None, how: str) -> UserError:
    """Another process of the training has gone without a word."""
    who = "a process" if rank is None else f"process {rank}"
    return UserError(
        f"{who} of this training {how}, so all were ended; if it was killed, memory may have run out (see `dmesg`)",
        next_step="the same command goes on from the last checkpoint.",
    )


def in_words(error: BaseException) -> BaseException:
    """`error`, or in its place what it means to the user: a resource that ran out, a partner that is gone."""
    if isinstance(error, UserError):
        return error
    resources = out_of_resources(error)
    if resources is not None:
        return resources
    return lost(None, "is gone") if isinstance(error, RuntimeError) and _LOST.search(str(error)) else error


def _words(rank: int, error: BaseException) -> dict[str, str | int | bool]:
    meant = in_words(error)
    if isinstance(meant, UserError):
        return {"fault": False, "what": meant.what, "next_step": meant.next_step, "exit_code": meant.exit_code}
    trace = "".join(traceback.format_exception(error))
    return {"fault": True, "what": f"in process {rank}:\n{trace}", "next_step": "", "exit_code": 1}
