"""Rows → records under a declared or recognised shape. Every row becomes records or a rejection, never nothing."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pakar.conversation import Message
from pakar.prepare.sources import squad
from pakar.prepare.sources.rows import Broken, Record, Row
from pakar.prepare.sources.turns import BadTurnsError, conversation
from pakar.prepare.sources.values import NotTextError, answer_of, as_json, text_of
from pakar.recipe import (
    AnyShape,
    AutoShape,
    IntentsShape,
    MessagesShape,
    PairsShape,
    Shape,
    SquadShape,
    TextShape,
    TurnsShape,
)

MOST_OF_DETAIL = 500
PREFERRED = "chosen"
"""Column with the better of two answers; it ends a conversation whose last message is the user's."""

_NOTHING_VISIBLE = re.compile(r"(?:<[^>]{0,500}>|&nbsp;|\s)*")

Reader = Callable[[Row], Iterator[Record | Broken]]


def records(shape: Shape) -> Reader:
    """The function that turns one row into its records."""
    match shape:
        case PairsShape():
            return functools.partial(_pair, shape)
        case MessagesShape():
            return functools.partial(_messages, shape)
        case IntentsShape():
            return _intent
        case SquadShape():
            return squad.records
        case TextShape():
            return functools.partial(_text, shape)
        case AnyShape():
            return functools.partial(_any, [(columns_of(one) or squad.COLUMNS, records(one)) for one in shape.of])
        case TurnsShape():
            raise TypeError("messages of many rows make one record: see `threads`")
        case AutoShape():
            raise TypeError("the shape has to be recognised first")


def columns_of(shape: Shape) -> tuple[str, ...]:
    """Columns that the shape names, in the order in which a person would fill them in."""
    match shape:
        case PairsShape():
            return tuple(filter(None, (shape.question, shape.answer, shape.context, shape.fallback, shape.system)))
        case MessagesShape() | TextShape():
            return (shape.column,)
        case IntentsShape():
            return ("patterns", "responses")
        case TurnsShape():
            return tuple(filter(None, (shape.conversation, shape.speaker, shape.text, shape.time)))
        case AutoShape() | SquadShape() | AnyShape():
            return ()


def optional_columns_of(shape: Shape) -> tuple[str, ...]:
    """Columns that are used where a row has them, beyond those that the shape names."""
    match shape:
        case MessagesShape():
            return ("system", PREFERRED)
        case IntentsShape():
            return ("tag",)
        case SquadShape():
            return squad.COLUMNS
        case AnyShape():
            return tuple(
                dict.fromkeys(itertools.chain(*((*columns_of(one), *optional_columns_of(one)) for one in shape.of)))
            )
        case _:
            return ()


def is_blank(text: str) -> bool:
    """Nothing to see: white space, tags without words."""
    return not text or (len(text) < 2000 and _NOTHING_VISIBLE.fullmatch(text) is not None)


def _any(tried: Sequence[tuple[Sequence[str], Reader]], row: Row) -> Iterator[Record | Broken]:
    """By the first shape one of whose columns is filled; where all are empty, by the first whose columns are there."""
    filled = (read for columns, read in tried if any(row.values.get(name) for name in columns))
    there = (read for columns, read in tried if not row.values.keys().isdisjoint(columns))
    read = next(itertools.chain(filled, there), None)
    if read is not None:
        yield from read(row)
        return
    columns = ", ".join(dict.fromkeys(itertools.chain(*(names for names, _ in tried))))
    detail = f"the record has none of {columns} filled; it has {', '.join(row.values) or 'nothing'}"
    yield _rejected(row, "missing_columns", detail[:MOST_OF_DETAIL])


def _pair(shape: PairsShape, row: Row) -> Iterator[Record | Broken]:
    """Empty questions and answers stay: what is empty is decided after cleaning."""
    values = row.values
    if values.keys().isdisjoint(columns_of(shape)):
        yield _missing(row, shape)
        return
    column = shape.question
    try:
        question = text_of(values.get(column))
        if shape.fallback and is_blank(question):
            column = shape.fallback
            question = text_of(values.get(column))
        if shape.context:
            column = shape.context
            context = text_of(values.get(column))
            question = f"{question}\n\n{context}" if not is_blank(context) else question
        column = shape.system or ""
        system = text_of(values.get(column)) if column else ""
        column = shape.answer
        answer = answer_of(values.get(column))
    except NotTextError as error:
        yield _rejected(row, "not_text", f"column {column}: {error}")
        return
    opening = (Message("system", system),) if system.strip() else ()
    yield Record(row.offset, (*opening, Message("user", question), Message("assistant", answer)), source=row.source)


def _messages(shape: MessagesShape, row: Row) -> Iterator[Record | Broken]:
    preferred = row.values.get(PREFERRED) if shape.column != PREFERRED else None
    system = row.values.get("system") if shape.column != "system" else None
    try:
        turns = conversation(
            row.values.get(shape.column),
            role=shape.role,
            content=shape.content,
            answer=answer_of(preferred),
            system=text_of(system),
        )
    except BadTurnsError as error:
        yield _rejected(row, error.reason, error.detail)
    except NotTextError as error:
        yield _rejected(row, "not_text", str(error))
    else:
        yield Record(row.offset, turns, source=row.source)


def _intent(row: Row) -> Iterator[Record | Broken]:
    """Every pattern with every response; parts are numbered from 1."""
    tag = row.values.get("tag")
    patterns, responses = _listed(row.values.get("patterns")), _listed(row.values.get("responses"))
    for what, found in (("patterns", patterns), ("responses", responses)):
        if not found:
            yield _rejected(row, f"no_{what}", f"intent {tag!r} has no {what}")
            return
    pairs = ((pattern, response) for pattern in patterns for response in responses)
    for part, (pattern, response) in enumerate(pairs, 1):
        try:
            messages = (Message("user", text_of(pattern)), Message("assistant", text_of(response)))
        except NotTextError as error:
            yield _rejected(row, "not_text", f"intent {tag!r}: {error}", part)
        else:
            yield Record(row.offset, messages, part, f"intent:{row.offset if tag is None else tag}", row.source)


def _listed(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _text(shape: TextShape, row: Row) -> Iterator[Record | Broken]:
    if shape.column not in row.values:
        yield _missing(row, shape)
        return
    try:
        text = text_of(row.values.get(shape.column))
    except NotTextError as error:
        yield _rejected(row, "not_text", f"column {shape.column}: {error}")
    else:
        yield Record(row.offset, (Message("text", text),), row.part, source=row.source)


def _missing(row: Row, shape: PairsShape | TextShape) -> Broken:
    detail = f"the record has none of {', '.join(columns_of(shape))}; it has {', '.join(row.values) or 'nothing'}"
    return _rejected(row, "missing_columns", detail[:MOST_OF_DETAIL])


def _rejected(row: Row, reason: str, detail: str, part: int = 0) -> Broken:
    return Broken(row.offset, reason, detail, as_json(row.values), part, row.source)
