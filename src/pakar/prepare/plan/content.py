"""What a plan says, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pakar.prepare.plan.mask import Segment
from pakar.prepare.sources import Reading
from pakar.prepare.trace import Way


class Seen(NamedTuple):
    """A number of rows: among those looked at, and as many as that makes of all."""

    looked_at: int
    expected: int


@dataclass(frozen=True)
class SourcePlan:
    """One source.

    Attributes:
        name: File or folder.
        reading: How it will be read.
        rows: In all.
        exact: Whether they were counted; else they are told from the size of the file.
        looked_at: Rows looked at, the first ones.
    """

    name: str
    reading: Reading
    rows: int
    exact: bool
    looked_at: int


@dataclass(frozen=True)
class Estimate:
    """What the whole preparation would make and take, from what was measured on the rows looked at.

    Attributes:
        rows: Kept, of all sources; repeated rows among them are not known yet.
        tokens: In them.
        learnt: Tokens among these that the model learns to write.
        seconds: Of reading, cleaning and writing, by `workers` processes, their start included.
        rows_a_second: Of one process.
        workers: Processes.
        disk_bytes: Of examples and token shards.
    """

    rows: int
    tokens: int
    learnt: int
    seconds: float
    rows_a_second: float
    workers: int
    disk_bytes: int


@dataclass(frozen=True)
class Plan:
    """What was found.

    Attributes:
        name: Of the run.
        context_tokens: Longest example.
        sources: In the order of the recipe.
        rows: Looked at, and expected in all.
        kept: The same of rows that would be kept.
        rejected: Reason → rows.
        changed: Operator → rows.
        flagged: Flag → rows.
        repeated: Rows looked at that equal another one of them.
        unlearnable: Rows that leave nothing to learn, as (source, number); the first ones.
        left_out: Kinds of rows that are left out once all rows are known, in words.
        tokens: Summary of tokens a row, of the rows that would be kept; None if there is none.
        lengths: Tokens of each of these rows.
        longest: Rows over the context, see `statistics.over`.
        estimate: Rows, tokens, time and disk.
        masks: Examples as the model will see them.
        ways: Rows before and after each operator, if asked for.
        private: Whether texts may be shown as they are.
    """

    name: str
    context_tokens: int
    sources: tuple[SourcePlan, ...]
    rows: Seen
    kept: Seen
    rejected: dict[str, Seen]
    changed: dict[str, Seen]
    flagged: dict[str, Seen]
    repeated: int
    unlearnable: tuple[tuple[str, int], ...]
    left_out: tuple[str, ...]
    tokens: dict[str, Any] | None
    lengths: npt.NDArray[np.int64]
    longest: dict[str, int]
    estimate: Estimate
    masks: tuple[tuple[Segment, ...], ...]
    ways: tuple[Way, ...]
    private: bool


def as_json(found: Plan) -> dict[str, Any]:
    """Plain values; texts only if they were asked for."""
    plain: dict[str, Any] = {
        "name": found.name,
        "context_tokens": found.context_tokens,
        "sources": [_source_json(source) for source in found.sources],
        "rows": found.rows._asdict(),
        "kept": found.kept._asdict(),
        **{
            part: {name: seen._asdict() for name, seen in getattr(found, part).items()}
            for part in ("rejected", "changed", "flagged")
        },
        "repeated": found.repeated,
        "unlearnable": [{"source": source, "offset": offset} for source, offset in found.unlearnable],
        "left_out": list(found.left_out),
        "tokens": found.tokens,
        "longest": found.longest,
        "estimate": vars(found.estimate),
    }
    if found.private:
        plain["masks"] = [[segment._asdict() for segment in mask] for mask in found.masks]
        plain["shown"] = [_way_json(way) for way in found.ways]
    return plain


def _source_json(source: SourcePlan) -> dict[str, Any]:
    reading = source.reading
    return {
        "name": source.name,
        "format": reading.format,
        "encoding": reading.encoding,
        "columns": list(reading.columns),
        "shape": reading.shape.model_dump(exclude_none=True),
        "rows": source.rows,
        "exact": source.exact,
        "looked_at": source.looked_at,
    }


def _way_json(way: Way) -> dict[str, Any]:
    return {
        "source": way.source,
        "offset": way.offset,
        "raw": way.raw,
        "changes": [change._asdict() for change in way.changes],
        "rejected": way.rejection._asdict() if way.rejection else None,
        "flags": list(way.flags),
    }
