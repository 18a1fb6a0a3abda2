"""Are the installed libraries as new as Pakar declares? Asked before a long run, not found out within it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import metadata

from packaging.requirements import Requirement

from pakar.errors import UserError

LOADERS = (
    "accelerate", "bitsandbytes", "gguf", "huggingface-hub", "jinja2", "peft", "safetensors", "tokenizers", "torch", "transformers",
)  # fmt: skip
"""Libraries that read or write models, whose older versions have holes or lack what is used."""


def check() -> None:
    """Refuse to go on with a library that is missing, or outside the versions that are declared.

    Raises:
        UserError: naming each with the version found and expected.
    """
    try:
        declared = metadata.requires("pakar") or []
    except metadata.PackageNotFoundError:  # run from its sources, without an installation
        return
    installed = {name: _version(name) for name in LOADERS}
    wrong = unmet(declared, installed)
    if wrong:
        listed = "".join(f"\n  - {requirement.name} {installed[requirement.name] or 'is missing'}; expected {requirement.specifier}" for requirement in wrong)  # fmt: skip
        wanted = " ".join(f"'{requirement.name}{requirement.specifier}'" for requirement in wrong)
        raise UserError(f"these libraries do not suit this version of Pakar:{listed}", next_step=f"type `pip install {wanted}`.")  # fmt: skip


def unmet(declared: Iterable[str], installed: Mapping[str, str | None]) -> list[Requirement]:
    """The requirements that are not met, of those that `installed` (name → version, None: missing) speaks about."""
    wanted = [Requirement(line) for line in declared]
    wanted = [one for one in wanted if one.name in installed and (one.marker is None or one.marker.evaluate())]
    return [one for one in wanted if not _met(one, installed[one.name])]


def _met(requirement: Requirement, version: str | None) -> bool:
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
