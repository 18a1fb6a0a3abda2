"""Put an exported directory on a hub; or only say what would be put there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pakar import files
from pakar.errors import UsageError, UserError
from pakar.models.origin import PROVENANCE

if TYPE_CHECKING:
    from huggingface_hub import HfApi

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
        UsageError: it cannot.
    """
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415 - the network's door opens only when asked for
    from huggingface_hub.utils._validators import validate_repo_id  # noqa: PLC0415

    expected = "expected OWNER/NAME, such as my-team/my-assistant"
    try:
        validate_repo_id(name)
    except HFValidationError:
        raise UsageError(f"--push {name[:80]}: {expected}") from None
    if name.count("/") != 1:
        raise UsageError(f"--push {name}: {expected}")


def check_ready(name: str) -> None:
    """Find out, before anything is computed, whether an upload can succeed: login, owner, and what is there already.

    Raises:
        UserError: the hub cannot be reached, or does not let this user in, or the repository holds what Pakar did not write.
    """
    check_name(name)
    with _told(f"nothing was exported, because the upload to {name} would fail",
               "check the name, the network and your login (`hf auth login`); without --push the model is only written here."):  # fmt: skip
        api = _api()
        known = api.whoami()
        owners = [known.get("name"), *(one.get("name") for one in known.get("orgs") or [])]
        there = _files_there(api, name)
    owner = name.partition("/")[0]
    if there is None and owner not in owners:
        raise UserError(f"--push {name}: you are logged in as {owners[0]}, who cannot make a repository of {owner}; expected one of {', '.join(map(str, owners))}",
                        next_step=f"for example --push {owners[0]}/{name.partition('/')[2]}.")  # fmt: skip
    _refuse_others(name, there)


def push(directory: Path, name: str, *, private: bool = True) -> str:
    """Upload every file of a directory to a model repository, which is made if there is none.

    Of a repository that Pakar wrote before, files that are not in `directory` are removed in the same commit; any other
    that holds something is left alone. Credentials are the hub library's own affair (`hf auth login`, or the variable HF_TOKEN).

    Args:
        directory: What to upload.
        name: OWNER/NAME.
        private: Only of a repository that is made now: whether others can see it.

    Returns:
        Address of what was uploaded.

    Raises:
        UserError: the hub refused, or cannot be reached, or the repository holds what Pakar did not write.
    """
    check_name(name)
    with _told(f"the upload to {name} failed",
               f"check the network and your login (`hf auth login`); what was exported is kept, and `hf upload {name} {directory} --delete '*'` uploads it."):  # fmt: skip
        api = _api()
        api.create_repo(name, repo_type="model", private=private, exist_ok=True)
        _refuse_others(name, _files_there(api, name))
        return str(
            api.upload_folder(
                repo_id=name,
                folder_path=directory,
                repo_type="model",
                commit_message="Model exported by Pakar",
                delete_patterns="*",
            )
        )


def _api() -> HfApi:
    from huggingface_hub import HfApi  # noqa: PLC0415

    return HfApi()


def _files_there(api: HfApi, name: str) -> list[str] | None:
    """Files of the repository; None if there is no such repository."""
    from huggingface_hub.errors import RepositoryNotFoundError  # noqa: PLC0415

    try:
        return list(api.list_repo_files(name, repo_type="model"))
    except RepositoryNotFoundError:
        return None


def _refuse_others(name: str, there: list[str] | None) -> None:
    """Leave repositories alone that hold something and were not written by Pakar: a mixture of two models serves nobody."""
    found = sorted(set(there or []) - {".gitattributes"})
    if found and PROVENANCE not in found:
        raise UserError(f"the repository {name} holds files that Pakar did not write ({', '.join(found[:5])}), and they would be mixed with the model or lost",
                        next_step="name another repository, or empty this one on the hub.")  # fmt: skip


@contextmanager
def _told(what: str, next_step: str) -> Iterator[None]:
    """What the hub and the way to it have to say, in words."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) and not type(error).__module__.startswith(_NETWORK):
            raise
        reason = str(error).strip().split("\n", maxsplit=1)[0]
        raise UserError(f"{what}: {reason}", next_step=next_step) from None
