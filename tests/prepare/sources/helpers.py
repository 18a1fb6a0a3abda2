"""Short ways to write tiny files and to look at what was read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

from pakar.prepare import sources
from pakar.prepare.frames import RECORDS, REJECTED
from pakar.recipe import Source

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"


class Read(NamedTuple):
    """All batches of a source as two tables."""

    kept: pl.DataFrame
    rejected: pl.DataFrame

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Last question and answer of every record."""
        return [(messages[-2]["content"], messages[-1]["content"]) for messages in self.kept["messages"].to_list()]

    @property
    def texts(self) -> list[str]:
        """Content of the text records."""
        return [messages[-1]["content"] for messages in self.kept["messages"].to_list()]

    @property
    def turns(self) -> list[list[tuple[str, str]]]:
        """All messages of every record."""
        return [[(m["role"], m["content"]) for m in messages] for messages in self.kept["messages"].to_list()]

    @property
    def reasons(self) -> list[tuple[int, str]]:
        """Offset and reason word of every rejected record."""
        return list(zip(self.rejected["offset"].to_list(), self.rejected["reason"].to_list(), strict=True))


def read(path: Path, **source: Any) -> Read:
    """Read a whole source, checking the schemas on the way."""
    batches = list(sources.read(Source.model_validate({"path": str(path), **source})))
    for batch in batches:
        assert batch.kept.schema == RECORDS
        assert batch.rejected.schema == REJECTED
    empty = Read(pl.DataFrame(schema=RECORDS), pl.DataFrame(schema=REJECTED))
    return Read(
        pl.concat([empty.kept, *(b.kept for b in batches)]), pl.concat([empty.rejected, *(b.rejected for b in batches)])
    )


def write(path: Path, content: str | bytes) -> Path:
    """Write characters as UTF-8 without touching line ends, or bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def json_lines(*values: Any) -> str:
    """One value a line."""
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


def shared(name: str) -> Path:
    """A file of the shared collection; the test is skipped where it is not at hand."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not on this machine")
    return path
