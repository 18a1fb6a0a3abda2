"""What the terminal says about an export."""

from __future__ import annotations

from pakar.export.card import difference
from pakar.export.writing import Exported


def described(done: Exported, repository: str | None, address: str | None) -> str:
    """What was written, what was proved, and what was or would be uploaded."""
    lines = [f"{done.directory}: {done.format}{f' in {done.storage}' if done.storage else ''}"]
    if done.proof.merged is not None:
        lines.append(f"  merged: {difference(done.proof.merged)}")
    if done.proof.stored is not None:
        lines.append(f"  stored: {difference(done.proof.stored)}")
    if repository and not address:
        lines.append(f"Would be uploaded to {repository}:")
    width = max(len(file.path) for file in done.files)
    lines += [f"  {file.path:{width}}  {file.bytes:>14,} bytes  sha256 {file.sha256}" for file in done.files]
    if address:
        lines.append(f"Uploaded to {address}")
    return "\n".join(lines)
