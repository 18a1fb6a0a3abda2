"""Tables with one message a row → one record per conversation.

All messages are held in memory at once, because the rows of a conversation may lie anywhere.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from pakar.conversation import Conversation, Message, Role
from pakar.errors import DataError
from pakar.prepare.sources.rows import Broken, Record, Row
from pakar.prepare.sources.turns import ROLES
from pakar.prepare.sources.values import NotTextError, as_json, label_of, text_of
from pakar.recipe import TurnsShape

_SORTABLE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ].*)?")


class _Said(NamedTuple):
    """A message in its conversation."""

    role: Role
    text: str
    time: str
    row: Row
    label: str | None


def records(found: Iterable[Row | Broken], shape: TurnsShape, label: str | None) -> Iterator[Record | Broken]:
    """A record for every conversation, in the order in which they begin, after the rows that belong to none.

    Messages of one speaker in a row are joined line by line; what stands before the first word of the user and after
    the last one of the assistant is left out. A record's offset is that of its first row.

    Args:
        found: Rows with a message each.
        shape: The columns.
        label: Column with the kind of conversation: that of its first row.

    Raises:
        DataError: nobody in the whole table is the assistant, or the times cannot be sorted.
    """
    threads: dict[str, list[_Said]] = {}
    answering = _answering(shape)
    for row in found:
        if isinstance(row, Broken):
            yield row
            continue
        try:
            key = text_of(row.values.get(shape.conversation)).strip()
            said = _said(row, shape, answering, label)
        except NotTextError as error:
            yield Broken(row.offset, "not_text", str(error), as_json(row.values), row.part, row.source)
            continue
        if key:
            threads.setdefault(key, []).append(said)
        else:
            detail = f"column {shape.conversation} is empty: the message belongs to no conversation"
            yield Broken(row.offset, "stray_line", detail, as_json(row.values), row.part, row.source)
    _check_answers(threads, shape)
    way = _way_of_sorting(threads, shape)
    for key, thread in threads.items():
        yield _record(key, _sorted(thread, way))


def _answering(shape: TurnsShape) -> frozenset[str]:
    named = shape.assistant or tuple(name for name, role in ROLES.items() if role == "assistant")
    return frozenset(name.strip().lower() for name in named)


def _said(row: Row, shape: TurnsShape, answering: frozenset[str], label: str | None) -> _Said:
    speaker = text_of(row.values.get(shape.speaker)).strip().lower()
    role: Role = "assistant" if speaker in answering else "user"
    time = text_of(row.values.get(shape.time)).strip() if shape.time else ""
    kind = label_of(row.values.get(label)) if label else None
    return _Said(role, text_of(row.values.get(shape.text)).strip(), time, row, kind)


def _check_answers(threads: dict[str, list[_Said]], shape: TurnsShape) -> None:
    if any(said.role == "assistant" for thread in threads.values() for said in thread) or not threads:
        return
    speakers = sorted({str(said.row.values.get(shape.speaker)) for thread in threads.values() for said in thread})
    raise DataError(
        f"nobody in the column {shape.speaker} is known to be the assistant; it holds {', '.join(speakers[:10])}",
        next_step=f"say who answers, for example `shape: {{kind: turns, assistant: [{json.dumps(speakers[0], ensure_ascii=False)}]}}`; "
        "to read the file as running text instead, write `format: text`.",
    )


def sortable(times: Sequence[str]) -> Literal["text", "number"] | None:
    """How to sort `times`: ISO dates as text, numbers (seconds since some day) by value; None: neither."""
    if all(_SORTABLE.fullmatch(time) for time in times if time):
        return "text"
    try:
        return "number" if all(math.isfinite(float(time)) for time in times if time) else None
    except ValueError:
        return None


def _way_of_sorting(threads: dict[str, list[_Said]], shape: TurnsShape) -> Literal["text", "number"]:
    times = [said.time for thread in threads.values() for said in thread if said.time]
    way = sortable(times)
    if way is None:
        odd = next(time for time in times if not _SORTABLE.fullmatch(time))
        raise DataError(
            f"times such as {odd!r} in the column {shape.time} cannot be sorted; expected 2024-03-12 10:15:02, or numbers",
            next_step="leave `time` out if the rows are in order, or write the times so.",
        )
    return way


def _sorted(thread: list[_Said], way: Literal["text", "number"]) -> list[_Said]:
    """By time; rows without time, and of equal time, as they stand."""
    if not all(said.time for said in thread):
        return thread
    if way == "number":
        return sorted(thread, key=lambda said: float(said.time))
    return sorted(thread, key=lambda said: said.time)


def _record(key: str, thread: list[_Said]) -> Record | Broken:
    first = min(thread, key=lambda said: (said.row.source, said.row.offset)).row
    turns = _turns(thread)
    if len(turns) < 2:
        everything = "\n".join(f"{said.role}: {said.text}" for said in thread)
        detail = f"in conversation {key!r} no message of the user is answered"
        return Broken(first.offset, "no_answer", detail, everything, 0, first.source)
    return Record(first.offset, turns, 0, f"conversation:{key}", first.source, thread[0].label)


def _turns(thread: list[_Said]) -> Conversation:
    turns: list[Message] = []
    for said in thread:
        if not said.text:
            continue
        if turns and turns[-1].role == said.role:
            turns[-1] = Message(said.role, f"{turns[-1].content}\n{said.text}")
        elif turns or said.role == "user":
            turns.append(Message(said.role, said.text))
    return tuple(turns[:-1] if turns and turns[-1].role == "user" else turns)
