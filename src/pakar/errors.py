"""The user's mistakes and the machine's limits, told in words. Anything else is a bug and keeps its traceback."""

from __future__ import annotations

import errno
from collections.abc import Iterator


class UserError(Exception):
    """Something the user can mend. Printed without a traceback; the process ends with `exit_code`.

    Args:
        what: What is wrong, with the value that was found and what was expected.
        next_step: What to do or type next.
    """

    exit_code = 1

    def __init__(self, what: str, *, next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step

    def __str__(self) -> str:
        """What is wrong, then what to do."""
        return f"{self.what}\n  Next: {self.next_step}" if self.next_step else self.what


class RecipeError(UserError):
    """The recipe asks for something that cannot be."""

    exit_code = 2


class UsageError(UserError):
    """The command line itself asks for something that cannot be."""

    exit_code = 2


class QualityError(UserError):
    """What was made is not good enough to be handed on."""

    exit_code = 3


class DataError(UserError):
    """The data cannot be used, or too much of it was rejected."""

    exit_code = 4


class ResourceError(UserError):
    """The machine ran out of disk or memory."""

    exit_code = 5


_LESS_MEMORY = {
    "export": "close other programs, export the adapter alone (--as adapter), or use a machine with more memory.",
    "chat": "close other programs, chat with one system at a time (--system tuned), or use a smaller base model.",
    "prepare": "lower prepare.executor.workers, or give the data in several smaller files.",
    "plan": "look at fewer rows with --rows.",
    "init": "give the data in several smaller files.",
    "evaluate": "lower evaluate.batch_size, or use a smaller base model.",
    "train": "lower train.compute.micro_batch_tokens, use train.method.kind: qlora, or use a smaller base model.",
}
"""What takes less memory, command by command."""


def out_of_resources(error: BaseException, command: str = "") -> ResourceError | None:
    """`error` in plain words if a full disk or exhausted memory is behind it, else None.

    Args:
        error: What was raised.
        command: What was typed after `pakar`; it decides what is advised.
    """
    text = str(error)
    if is_disk_full(error):
        return ResourceError(
            f"the disk is full: {text}",
            next_step="free some space (see `df -h .`) and run the same command again; finished work is kept.",
        )
    if is_memory_short(error):
        return ResourceError(
            f"the machine ran out of memory: {text or 'no details given'}",
            next_step=_LESS_MEMORY.get(
                command, "lower train.compute.micro_batch_tokens or evaluate.batch_size, or use a smaller base model."
            ),
        )
    return None


def is_disk_full(error: BaseException) -> bool:
    """Whether a full disk or a used-up quota is behind `error`.

    Libraries wrap the system's ENOSPC in exceptions of their own, so the chain and the texts are searched.
    """
    return any(
        getattr(cause, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        or "No space left on device" in str(cause)
        or "os error 28" in str(cause)
        for cause in _chain(error)
    )


def is_memory_short(error: BaseException) -> bool:
    """Whether exhausted memory, of the machine or of a GPU, is behind `error`."""
    return any(
        isinstance(cause, MemoryError) or any(words in str(cause) for words in _OUT_OF_MEMORY)
        for cause in _chain(error)
    )


_OUT_OF_MEMORY = (
    "DefaultCPUAllocator: not enough memory",
    "DefaultCPUAllocator: can't allocate memory",
    "out of memory",
)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
