"""What the terminal says about an export."""

from __future__ import annotations

from pakar.export.card import difference
from pakar.export.writing import Exported


def described(done: Exported, repository: str | None, address: str | None) -> str:
    """What was written, what was proved, and what was or would be uploaded."""
    lines = [f"{done.directory}: {done.format}{f' in {done.storage}' if done.storage else ''}"]
    compared = {"merged": done.proof.merged, "stored": done.proof.stored, "read by transformers": done.proof.reread}
    lines += [f"  {name}: {difference(found)}" for name, found in compared.items() if found is not None]
    if repository and not address:
        lines.append(f"Would be uploaded to {repository}:")
    width = max(len(file.path) for file in done.files)
    lines += [f"  {file.path:{width}}  {file.bytes:>14,} bytes  sha256 {file.sha256}" for file in done.files]
    if address:
        lines.append(f"Uploaded to {address}")
    return "\n".join(lines)
