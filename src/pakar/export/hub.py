"""Put an exported directory on a hub; or only say what would be put there."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pakar import files
from pakar.errors import UserError

_NETWORK = ("huggingface_hub", "httpx", "httpcore")
"""Packages whose exceptions tell of the hub and the way to it, and not of a fault in Pakar."""


class File(NamedTuple):
    """One file of an export."""

    path: str
    bytes: int
    sha256: str


def listing(directory: Path) -> list[File]:
    """Every file of a directory, by its path in there."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    return [File(p.relative_to(directory).as_posix(), p.stat().st_size, files.sha256(p)) for p in paths]


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a repository.

    Raises:
        UserError: it cannot.
    """
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415 - the network's door opens only when asked for
    from huggingface_hub.utils._validators import validate_repo_id  # noqa: PLC0415

    try:
        validate_repo_id(name)
    except HFValidationError:
        name = ""
    if name.count("/") != 1:
        raise UserError("--push: expected OWNER/NAME, such as my-team/my-assistant")


def push(directory: Path, name: str, *, private: bool = True) -> str:
    """Upload every file of a directory to a model repository, which is made if there is none.

    Credentials are the hub library's own affair (`hf auth login`, or the variable HF_TOKEN).

    Args:
        directory: What to upload.
        name: OWNER/NAME.
        private: Only of a repository that is made now: whether others can see it.

    Returns:
        Address of what was uploaded.

    Raises:
        UserError: the hub refused, or cannot be reached.
    """
    from huggingface_hub import HfApi  # noqa: PLC0415

    check_name(name)
    api = HfApi()
    try:
        api.create_repo(name, repo_type="model", private=private, exist_ok=True)
        done = api.upload_folder(repo_id=name, folder_path=directory, repo_type="model", commit_message="Model exported by Pakar")  # fmt: skip
    except Exception as error:
        if not isinstance(error, OSError) and not type(error).__module__.startswith(_NETWORK):
            raise
        reason = str(error).strip().split("\n", maxsplit=1)[0]
        raise UserError(f"the upload to {name} failed: {reason}",
                        next_step="check the name, the network and your login (`hf auth login`); what was exported is kept.") from None  # fmt: skip
    return str(done)
