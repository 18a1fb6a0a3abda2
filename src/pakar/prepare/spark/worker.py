"""What happens on a worker of Spark, without Spark: an order and a piece come in, words go out."""

from __future__ import annotations

import functools
import json
import os
import pickle
import platform
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pakar import __version__, errors, records
from pakar.errors import UserError, out_of_resources
from pakar.prepare.executor import Piece, Report, Task, perform

SECONDS_BETWEEN_LOOKS = 1.0


class Order(NamedTuple):
    """What all pieces of a step have in common.

    Attributes:
        code: Fingerprint of the driver's own code of preparation.
        token: A file in the run directory that is there for as long as somebody waits for the work.
        task: What is to be done.
    """

    code: str
    token: Path
    task: Task


class TaskFailedError(Exception):
    """A fault of the program in a task, with the worker's traceback."""


def carry_out(order: bytes, piece: bytes) -> str:
    """Do a piece; whatever comes of it is told, never raised: Spark would try again, and bury it in a stack trace.

    Args:
        order: A pickled `Order`.
        piece: A pickled `Piece`.

    Returns:
        For `report_in`.
    """
    try:
        told: dict[str, Any] = {"report": _carry_out(pickle.loads(order), pickle.loads(piece))}  # noqa: S301 - sent by the driver
    except Exception as error:
        user_error = error if isinstance(error, UserError) else out_of_resources(error)
        told = in_words(user_error) if user_error else {"fault": f"on {place()}:\n{traceback.format_exc()}"}
    return json.dumps(told)


def in_words(error: UserError) -> dict[str, Any]:
    """A user's mistake as it travels."""
    return {"error": {"kind": type(error).__name__, "what": error.what, "next_step": error.next_step}}


def report_in(told: str) -> Report:
    """What a worker told of a piece.

    Raises:
        UserError: as it was raised on the worker.
        TaskFailedError: a fault of the program.
    """
    words = json.loads(told)
    if "fault" in words:
        raise TaskFailedError(words["fault"])
    if "error" in words:
        kind = getattr(errors, words["error"]["kind"], UserError)
        raise kind(words["error"]["what"], next_step=words["error"]["next_step"])
    return dict(words["report"])


def place() -> str:
    """This machine."""
    return f"the worker {platform.node()}"


@functools.cache
def own_code() -> str:
    """Fingerprint of the code of preparation."""
    return records.code_fingerprint("prepare")


def _carry_out(order: Order, piece: Piece) -> Report:
    if order.code != own_code():
        raise UserError(
            f"{place()} has other code of Pakar {__version__} than this machine, and might prepare other data",
            next_step=f"install the very same Pakar there; it is loaded from {Path(__file__).parents[1]}.",
        )
    if not order.token.exists():
        raise UserError(
            f"{place()} does not see the run directory: there is no {order.token}",
            next_step="put the run on storage that all workers share under the same path, with --runs-dir.",
        )
    with _ends_with(order.token):
        return perform(order.task, piece)


@contextmanager
def _ends_with(token: Path) -> Iterator[None]:
    """Work nobody waits for any more, because the driver was killed and the run taken up again, must not go on writing."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SECONDS_BETWEEN_LOOKS):
            if not token.exists():
                os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
