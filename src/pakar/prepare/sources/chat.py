r"""Exported chats (text) → one row per message: `conversation`, `speaker`, `text`, `time`.

Lines that are understood, each the beginning of a message that may go on over the next lines:

    12/03/24, 10:15 - Ann: text           12.03.2024, 22:15:02 - Ann: text        1/2/24, 10:15 PM - Ann: text
    [12/03/24, 10:15:02] Ann: text        [2024-03-12 10:15:02] Ann: text         2024-03-12T10:15 Ann: text
    10:15 <ann> text                      [10:15:02] <@ann> text

After six hours without a message a new conversation begins. Lines that belong to no message (someone joined, the
programme's own notes) are rejected as `stray_line`.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pakar.prepare.sources.opening import TooLong, lines
from pakar.prepare.sources.rows import Broken, Row

COLUMNS = ("conversation", "speaker", "text", "time")
SILENCE = datetime.timedelta(hours=6)
LOOK_LINES = 200
SURE_SHARE = 0.5
"""Of the first lines; a file in which a larger share begins messages is a chat."""

_DATE = r"(?P<date>\d{1,4}[./-]\d{1,2}[./-]\d{1,4})"
_TIME = r"(?P<time>\d{1,2}:\d{2}(?::\d{2})?(?:\s?[AaPp]\.?\s?[Mm]\.?)?)"
_STAMP = rf"{_DATE}(?:,?[ T]\s?){_TIME}"
_HEADS = (
    re.compile(rf"\[{_STAMP}\]\s(?P<rest>.*)", re.DOTALL),
    re.compile(rf"{_STAMP}\s(?:-\s)?(?P<rest>.*)", re.DOTALL),
    re.compile(rf"\[?{_TIME}\]?\s(?P<rest>(?:<|\*|-).*)", re.DOTALL),
)
_SPEAKER = re.compile(
    r"(?:<[@+~&% ]?(?P<nick>[^>\n]{1,60})>\s?|(?P<name>[^:\n]{1,60}?):(?:\s|$))(?P<text>.*)", re.DOTALL
)
_MARKS = str.maketrans("", "", "\u200e\u200f\ufeff\u202a\u202c")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?\s?([AaPp])?")


class _Message(NamedTuple):
    line: int
    date: str
    clock: str
    speaker: str
    text: str


def is_chat(sample: Iterable[str]) -> bool:
    """Whether at least three of the first lines begin messages, more than half of them, by at least two speakers."""
    found = [_begun(0, line) for line in sample if line.strip()][:LOOK_LINES]
    begun = [one for one in found if isinstance(one, _Message)]
    return len(begun) >= 3 and len(begun) > SURE_SHARE * len(found) and len({one.speaker for one in begun}) > 1


def read_chat(path: Path, encoding: str) -> Iterator[Row | Broken]:
    """Every message; the offset is its first line. The whole file is held in memory."""
    messages: list[_Message] = []
    strays: list[Broken] = []
    for number, line in enumerate(lines(path, encoding, "\n"), 1):
        begun = _begun(number, line)
        if isinstance(begun, _Message) and not isinstance(line, TooLong):
            messages.append(begun)
        elif begun is None and messages and not isinstance(line, TooLong):
            messages[-1] = messages[-1]._replace(text=f"{messages[-1].text}\n{line.rstrip()}")
        elif line.strip():
            strays.append(Broken(number, "stray_line", "the line belongs to no message", line))
    yield from strays
    yield from _rows(messages, path.name)


def _begun(number: int, line: str) -> _Message | bool | None:
    """The message that the line begins; False: it has a time but no speaker; None: it has no time."""
    plain = line.translate(_MARKS).replace("\u202f", " ").rstrip()
    for head in _HEADS:
        if found := head.match(plain):
            said = _SPEAKER.match(found["rest"])
            if said is None:
                return False
            parts = found.groupdict()
            name = (said["nick"] or said["name"]).strip()
            return _Message(number, parts.get("date") or "", parts["time"], name, said["text"])
    return None


def _rows(messages: list[_Message], name: str) -> Iterator[Row]:
    day_first = _is_day_first([message.date for message in messages])
    conversation, last = 0, None
    for message in messages:
        now = _moment(message, day_first)
        if last is None or now is None or now - last > SILENCE or now < last - SILENCE:
            conversation += 1
        last = now
        time = now.isoformat(sep=" ") if now and message.date else message.clock
        values = (f"{name} {conversation}", message.speaker, message.text.strip(), time)
        yield Row(message.line, dict(zip(COLUMNS, values, strict=True)))


def _numbers(date: str) -> list[int]:
    return [int(part) for part in re.split(r"[./-]", date)]


def _is_day_first(dates: Iterable[str]) -> bool:
    """Of `12/03/24`: day first, unless some second number can be no month."""
    return not any(_numbers(date)[1] > 12 for date in set(dates) if date)


def _moment(message: _Message, day_first: bool) -> datetime.datetime | None:
    clock = _CLOCK.match(message.clock)
    if clock is None:
        return None
    hour, minute, second = int(clock[1]), int(clock[2]), int(clock[3] or 0)
    if clock[4]:
        hour = hour % 12 + (12 if clock[4] in "pP" else 0)
    year, month, day = 2000, 1, 1
    if message.date:
        first, middle, final = _numbers(message.date)
        if first > 31:
            year, month, day = first, middle, final
        else:
            day, month = (first, middle) if day_first else (middle, first)
            year = final if final > 99 else 2000 + final
    try:
        return datetime.datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None
