"""JSON and JSON Lines → rows. JSON Lines is streamed and loses only the bad lines; JSON is read whole.

Layouts of a JSON file: a list of records; one record; records one after the other; an object around a list
(`{"data": […]}`); an object of records or texts by key (the key becomes the column `key`, or `record_key` if the records have a
`key` of their own); columns (`{"question": […], …}`). Where it is open which list is meant, the file is refused.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pakar.errors import DataError
from pakar.prepare.sources.characters import UTF8
from pakar.prepare.sources.names import is_known_name
from pakar.prepare.sources.opening import LONGEST_LINE, TooLong, lines, whole_text
from pakar.prepare.sources.rows import Broken, Row

KEY = "key"
TEXT = "text"
FEWEST_TEXTS = 3
WORDS_OF_TEXT = 3.0
LOOK_BYTES = 1 << 20
SPEAKER_KEYS = {"role", "from"}

_BLANK = re.compile(r"[ \t\r\n]*")


class RepeatedKeyError(Exception):
    """A key stands twice in an object: one of the two values would be lost."""


class _Repeated(NamedTuple):
    """A record in which a key stands twice."""

    detail: str
    value: Any


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    twice = next(key for number, (key, _) in enumerate(pairs) if any(key == other for other, _ in pairs[:number]))
    raise RepeatedKeyError(f"the key {twice!r} stands twice in one object")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)
_LENIENT = json.JSONDecoder()


class Piece(NamedTuple):
    """A run of lines of a JSON Lines file."""

    first: int
    """Number of the first line, from 1."""
    lines: int
    """How many."""
    start: int
    """Byte at which the first line begins."""


def read_json_lines(path: Path, encoding: str) -> Iterator[Row | Broken]:
    """One record a line; the offset is the line number. Blank lines are no records."""
    return _records(lines(path, encoding, newline="\n"), 1)


def read_piece(path: Path, piece: Piece) -> Iterator[Row | Broken]:
    """The same for some lines of a file in UTF-8 that is not compressed."""
    return _records(itertools.islice(lines(path, UTF8, newline="\n", start=piece.start), piece.lines), piece.first)


def pieces(path: Path, *, most_lines: int, most_bytes: int) -> list[Piece]:
    """Runs of whole lines of about so many lines or bytes; a run is larger by up to a megabyte, or one long line."""
    found: list[Piece] = []
    first, count, start, place = 1, 0, 0, 0
    with path.open("rb") as file:
        while chunk := file.read(LOOK_BYTES):
            after = chunk.rfind(b"\n") + 1
            count += chunk.count(b"\n")
            if after and (count >= most_lines or place + after - start >= most_bytes):
                found.append(Piece(first, count, start))
                first, count, start = first + count, 0, place + after
            place += len(chunk)
    return found if place == start else [*found, Piece(first, count + 1, start)]


def _records(found: Iterable[str], first: int) -> Iterator[Row | Broken]:
    for number, line in enumerate(found, first):
        if isinstance(line, TooLong):
            yield Broken(number, "too_large", f"line {number} is longer than {LONGEST_LINE:,} characters", line)
            continue
        if line.isspace():
            continue
        try:
            value = _DECODER.decode(line)
        except json.JSONDecodeError as error:
            yield Broken(number, "unreadable_json", f"line {number}, column {error.colno}: {error.msg}", line)
        except RepeatedKeyError as error:
            yield Broken(number, "repeated_key", f"line {number}: {error}", line)
        except (ValueError, RecursionError) as error:
            yield Broken(number, "unreadable_json", f"line {number}: {error}", line)
        else:
            yield _row(number, value)


def read_json(path: Path, encoding: str) -> Iterator[Row | Broken]:
    """Every record of a JSON file; the offset is the record's number.

    Raises:
        DataError: the file is no JSON from some place on; the records before it were yielded.
    """
    for number, value in enumerate(_values(path, whole_text(path, encoding)), 1):
        yield _row(number, value)


def _row(number: int, value: Any) -> Row | Broken:
    if isinstance(value, dict):
        return Row(number, value)
    if isinstance(value, _Repeated):
        return Broken(number, "repeated_key", value.detail, json.dumps(value.value, ensure_ascii=False))
    kind = {list: "a list", str: "a text", type(None): "null"}.get(type(value), "a number")
    return Broken(
        number,
        "not_an_object",
        f"expected an object with named values, found {kind}",
        json.dumps(value, ensure_ascii=False),
    )


def _values(path: Path, text: str) -> Iterator[Any]:
    """The elements of the lists and the objects that stand at the top of the file."""
    place, done = _skip(text, 0), 0
    while place < len(text):
        if text[place] == "[":
            place, done = yield from _elements(path, text, place, done)
        else:
            value, place = _decode(path, text, place, done)
            alone = done == 0 and _skip(text, place) == len(text)
            if alone and isinstance(value, _Repeated) and len(_unwrapped(path, value.value)) > 1:
                raise DataError(f"{path}: {value.detail}", next_step="write every key of an object only once.")
            records = _unwrapped(path, value) if alone else [value]
            yield from records
            done += len(records)
        place = _skip(text, place)


def _elements(path: Path, text: str, start: int, done: int) -> Generator[Any, None, tuple[int, int]]:
    """Elements of the list that opens at `start`; returns the place after it and the number of records so far."""
    place = _skip(text, start + 1)
    while text[place : place + 1] != "]":
        value, place = _decode(path, text, place, done)
        yield value
        done += 1
        place = _skip(text, place)
        if text[place : place + 1] == ",":
            place = _skip(text, place + 1)
        elif text[place : place + 1] != "]":
            raise _cut(path, text, place, done, "expected a comma or the closing bracket")
    return place + 1, done


def _skip(text: str, place: int) -> int:
    found = _BLANK.match(text, place)
    return found.end() if found else place


def _decode(path: Path, text: str, place: int, done: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, place)
    except RepeatedKeyError as error:
        value, end = _LENIENT.raw_decode(text, place)
        return _Repeated(str(error), value), end
    except json.JSONDecodeError as error:
        raise _cut(path, text, error.pos, done, error.msg) from None
    except (ValueError, RecursionError) as error:
        raise _cut(path, text, place, done, str(error)) from None


def _cut(path: Path, text: str, place: int, done: int, why: str) -> DataError:
    line, column = text.count("\n", 0, place) + 1, place - text.rfind("\n", 0, place)
    ended = place >= len(text.rstrip()) or why.startswith("Unterminated string")
    where = "the file ends too early" if ended else "it is no valid JSON"
    before = f"{done:,} complete record{'' if done == 1 else 's'} before it"
    return DataError(
        f"{path}: {where} at line {line}, column {column} ({why}); {before}",
        next_step="copy the file again if it was cut off, or mend that place.",
    )


def _unwrapped(path: Path, value: Any) -> list[Any]:
    """The records inside the one value of a file."""
    if not isinstance(value, dict):
        return [value]
    records = _list_of_records(path, value)
    if records is not None:
        return records
    if len(value) == 1 and isinstance(inner := next(iter(value.values())), dict):
        return _unwrapped(path, inner)
    return _named(path, value)


def _named(path: Path, value: dict[str, Any]) -> list[Any]:
    """The records of an object without a list of them: by key, by column, or the object itself."""
    inner = list(value.values())
    if len(inner) > 1 and all(isinstance(one, dict) for one in inner):
        return _by_position(value) if _is_by_position(inner) else _by_key(value)
    if _is_texts_by_name(value):
        return [{KEY: name, TEXT: text} for name, text in value.items()]
    if len(inner) > 1 and all(isinstance(one, list) and not _is_conversation(one) for one in inner):
        return _by_column(path, value)
    return [value]


def _list_of_records(path: Path, value: dict[str, Any]) -> list[Any] | None:
    """The one list of records in an object; None if there is none."""
    lists = [name for name, inner in value.items() if _holds_objects(inner)]
    if all(_is_conversation(value[name]) for name in lists):
        return None
    if len(lists) > 1:
        raise DataError(
            f"{path} holds several lists of records: {', '.join(lists)}",
            next_step="write the one you want into a file of its own, or all of them into one list; "
            "Pakar splits into training and test itself.",
        )
    return list(value[lists[0]])


def _holds_objects(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(one, dict) for one in value)


def _is_conversation(value: list[Any]) -> bool:
    """The messages of one conversation, which make one record together."""
    return _holds_objects(value) and all(isinstance(one, dict) and SPEAKER_KEYS & one.keys() for one in value)


def _is_texts_by_name(value: dict[str, Any]) -> bool:
    """`{"greeting": "Good morning to …", "refund": "Please send …", …}`: no key is a usual name of a column."""
    if len(value) < FEWEST_TEXTS or not all(isinstance(one, str) for one in value.values()):
        return False
    words = sum(len(one.split()) for one in value.values())
    return words >= WORDS_OF_TEXT * len(value) and not any(map(is_known_name, value))


def _is_by_position(columns: list[dict[str, Any]]) -> bool:
    """Columns as pandas writes them by default: `{"question": {"0": …, "1": …}, "answer": {"0": …, "1": …}}`."""
    return all(len(column) > 0 and all(key.isdecimal() for key in column) for column in columns)


def _by_position(columns: dict[str, dict[str, Any]]) -> list[Any]:
    """One record for every position that any column has."""
    positions = dict.fromkeys(position for column in columns.values() for position in column)
    return [{name: column.get(position) for name, column in columns.items()} for position in positions]


def _by_key(records: dict[str, dict[str, Any]]) -> list[Any]:
    """The key goes into a column whose name no record uses itself."""
    name = KEY
    while any(name in record for record in records.values()):
        name = f"record_{name}"
    return [{name: key, **record} for key, record in records.items()]


def _by_column(path: Path, columns: dict[str, list[Any]]) -> list[Any]:
    if len(set(map(len, columns.values()))) > 1:
        lengths = ", ".join(f"{name} {len(cells):,}" for name, cells in columns.items())
        raise DataError(
            f"{path}: columns differ in length: {lengths}",
            next_step="give every column one value for each row (null where there is none), or write a list of records.",
        )
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
