"""What libraries say about the files of a model, told as a fault of the model and not of Pakar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pakar.errors import RecipeError, UserError, out_of_resources
from pakar.models.intake import finding

_LONGEST = 300
"""Letters of a library's words that are passed on."""


@contextmanager
def told(directory: Path, part: str) -> Iterator[None]:
    """Turn what a library raises while it reads or builds `part` into words.

    Libraries find a wrong value in a hundred places, each with an exception of its own kind, so all kinds are meant.
    Those of Pakar pass, and so does a full disk or memory.

    Args:
        directory: Of the model.
        part: What is read, such as "the tokenizer (tokenizer.json)".

    Raises:
        RecipeError: naming the part, the directory and the reason.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, UserError) or not _of_a_library(error) or out_of_resources(error):
            raise
        reason = finding.shown(f"{type(error).__name__}: {' '.join(str(error).split())}", _LONGEST)
        raise RecipeError(f"{part} in {directory} cannot be used: {reason}",
                          next_step="mend that file, get the model anew from its source, or name another model.") from error  # fmt: skip


def _of_a_library(error: BaseException) -> bool:
    """Also a panic of Rust, of which the tokenizers are made: it is no `Exception`, so that nobody catches it by chance."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"
