"""Which shape do rows have? Told from the column names, else from what stands in the columns; refused when in doubt."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pakar.errors import DataError
from pakar.prepare.sources import names, squad
from pakar.prepare.sources.rows import Row
from pakar.prepare.sources.threads import sortable
from pakar.prepare.sources.turns import ROLES
from pakar.prepare.sources.values import NotTextError, answer_of, as_json, label_of, opened, text_of
from pakar.recipe import IntentsShape, MessagesShape, PairsShape, Shape, SquadShape, TextShape, TurnsShape
from pakar.text import shorten

SPEAKER_AND_TEXT = (
    ("role", "content"),
    ("from", "value"),
    ("role", "value"),
    ("from", "content"),
    ("role", "text"),
    ("speaker", "text"),
)
LOOK_ROWS = 200
MOST_COLUMNS = 100
MANY_COLUMNS = 8
WORDS_OF_TEXT = 3.0
"""A column with fewer words on average is no running text but a label, a name, a number."""
FEWEST_TOKENS = 8
"""Numbers in a list on average; shorter lists are scores, spans, ids of labels."""
MOST_KINDS = 100
LONGEST_KIND = 60


def recognise(columns: Sequence[str], rows: Sequence[Row]) -> Shape | None:
    """The shape of `rows`, or None when it cannot be told without guessing."""
    rows = rows[:LOOK_ROWS]
    spoken = _intents(rows) or _squad(rows) or _messages(columns, rows) or _turns(columns, rows)
    if spoken or _is_one_large_object(columns, rows):
        return spoken
    return _pairs(columns, rows) or _text(columns, rows)


def unrecognised(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> DataError:
    """The error for a file whose shape is not clear: shows its columns and the lines that would settle it."""
    if _is_one_large_object(columns, rows):
        return DataError(
            f"{path} holds one object with {len(columns):,} keys, not a list of records",
            next_step='write a list of objects such as [{"question": "…", "answer": "…"}, …], or JSON Lines.',
        )
    if tokens := next((name for name in columns if _holds_token_ids(name, rows)), None):
        return _tokenised(path, tokens)
    if _are_records_as_columns(columns, rows):
        return DataError(
            f"{path} holds {len(columns):,} lists of {len(rows):,}, which look like records and not like columns: "
            f"{', '.join(shorten(name, 40) for name in columns[:5])} …",
            next_step='write them as a list of objects such as [{"question": "…", "answer": "…"}, …], or as JSON Lines.',
        )
    shown = "\n".join(f"    {shorten(name, 40)}: {_samples(name, rows)}" for name in columns[:12])
    more = f"\n    … and {len(columns) - 12:,} more" if len(columns) > 12 else ""
    return DataError(
        f"{path}: it is not clear which columns hold questions and answers. Columns and values:\n{shown}{more}",
        next_step=_advice(path, columns, rows),
    )


def _is_one_large_object(columns: Sequence[str], rows: Sequence[Row]) -> bool:
    """Such as a tokenizer's vocabulary: among so many keys some look like names of columns."""
    return len(rows) == 1 and len(columns) > MOST_COLUMNS


def _are_records_as_columns(columns: Sequence[str], rows: Sequence[Row]) -> bool:
    """Such as `{"greeting": ["Hi", "Hello!"], "refund": […], …}`: many more names than rows, none of them usual."""
    return len(columns) >= MANY_COLUMNS and len(columns) > 2 * len(rows) and not any(map(names.is_known_name, columns))


def _tokenised(path: Path, column: str) -> DataError:
    return DataError(
        f"{path}: {column} holds token ids, numbers that mean something only to the tokenizer that made them, "
        "and no column holds text",
        next_step="bring the texts from which they were made, or turn each list back into text with that tokenizer "
        '(`tokenizer.decode(ids, skip_special_tokens=True)`) and write it as JSON Lines: {"text": "…"}.',
    )


def _holds_token_ids(column: str, rows: Sequence[Row]) -> bool:
    """It is called so and holds numbers, or most filled cells are lists of numbers, many in all."""
    if names.plain(column) in names.TOKEN_IDS and not _is_wordy(_texts(column, rows)):
        return True
    cells = [row.values[column] for row in rows if row.values.get(column)]
    lists = [cell for cell in cells if _is_numbers(cell)]
    return len(lists) > len(cells) / 2 and sum(map(len, lists)) >= FEWEST_TOKENS * len(lists)


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(one, int | float) for one in value)


def _advice(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> str:
    """The commands that would settle it, ready to be typed."""
    by_words = {name: _mean_words(_texts(name, rows)) for name in columns}
    prose = sorted((name for name in columns if by_words[name] >= WORDS_OF_TEXT), key=lambda name: -by_words[name])
    varied = [name for name in prose if _is_varied(_texts(name, rows))] or prose
    if not varied:
        return 'no column holds sentences; bring a list of objects such as [{"question": "…", "answer": "…"}, …].'
    as_text = f"{_command(path, {'kind': 'text', 'column': varied[0]})} for running text"
    question = _asking(columns, rows) or (varied[1] if len(varied) > 1 else varied[0])
    answer = next((name for name in [*varied, *_answers(columns, rows)] if name != question), None)
    if answer is None:
        return f"type {as_text}; for training with answers, add a column with them."
    pairs = _command(path, {"kind": "pairs", "question": question, "answer": answer})
    return f"type {pairs} if these columns hold questions and answers, or {as_text}."


def _command(path: Path, shape: dict[str, str]) -> str:
    """As a shell takes it; the shape in YAML, where a quoted name may hold anything."""
    written = ", ".join(f"{key}: {_scalar(value)}" for key, value in shape.items())
    return f"`pakar init {shlex.quote(str(path))} --shape {shlex.quote(f'{{{written}}}')}`"


def _scalar(value: str) -> str:
    return value if value.replace("_", "").isalnum() and value[0].isalpha() else json.dumps(value, ensure_ascii=False)


def _asking(columns: Sequence[str], rows: Sequence[Row]) -> str | None:
    """The column with questions: by its name if it holds more than numbers."""
    wordy = [name for name in columns if _is_wordy(_texts(name, rows))]
    return names.find(wordy, (*names.QUESTION[:8], "turn"))


def _answers(columns: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Columns called `answer1` and the like, whatever they hold."""
    return [
        name
        for name in columns
        if names.find([name.rstrip("0123456789_")], names.ANSWER) and _is_wordy(_texts(name, rows))
    ]


def label(columns: Sequence[str], rows: Sequence[Row], taken: Sequence[str]) -> str | None:
    """A column that surely sorts the rows into kinds: usual name, few different short values, each for several rows."""
    cells = {name: [text for row in rows if (text := label_of(row.values.get(name)))] for name in columns}
    fitting = [name for name in columns if name not in taken and _are_kinds(cells[name], len(rows))]
    return names.find(fitting, names.LABEL)


def _are_kinds(cells: Sequence[str], rows: int) -> bool:
    kinds = set(cells)
    return (
        2 <= len(kinds) <= min(MOST_KINDS, rows / 4)
        and len(cells) >= 0.9 * rows
        and all(len(kind) <= LONGEST_KIND for kind in kinds)
    )


def _samples(name: str, rows: Sequence[Row]) -> str:
    values = [row.values[name] for row in rows if row.values.get(name) not in (None, "", [])][:2]
    return " | ".join(shorten(value if isinstance(value, str) else as_json(value), 50) for value in values) or "(empty)"


def _intents(rows: Sequence[Row]) -> Shape | None:
    fitting = sum("patterns" in row.values and "responses" in row.values for row in rows)
    return IntentsShape() if fitting > len(rows) / 2 else None


def _squad(rows: Sequence[Row]) -> Shape | None:
    return SquadShape() if sum(squad.fits(row.values) for row in rows) > len(rows) / 2 else None


def _messages(columns: Sequence[str], rows: Sequence[Row]) -> Shape | None:
    """The first column, known names before others, in which most filled cells are lists of messages."""
    known = [column for name in names.MESSAGES for column in columns if names.plain(column) == names.plain(name)]
    for column in dict.fromkeys([*known, *columns]):
        cells = [opened(row.values.get(column)) for row in rows if row.values.get(column)]
        for role, content in SPEAKER_AND_TEXT:
            if (
                cells
                and column != "rejected"
                and sum(_is_conversation(cell, role, content) for cell in cells) > len(cells) / 2
            ):
                return MessagesShape(column=column, role=role, content=content)
    return None


def _turns(columns: Sequence[str], rows: Sequence[Row]) -> Shape | None:
    """One message a row: usual names for all three columns, ids that repeat, and both sides by their usual names."""
    conversation = names.find(columns, names.CONVERSATION)
    speaker = names.find(columns, names.SPEAKER, [conversation])
    text = names.find(columns, names.UTTERANCE, [conversation, speaker])
    if conversation is None or speaker is None or text is None:
        return None
    ids = [str(row.values.get(conversation)) for row in rows]
    roles = {ROLES.get(str(row.values.get(speaker)).strip().lower()) for row in rows}
    if len(set(ids)) > 0.7 * len(ids) or not {"user", "assistant"} <= roles:
        return None
    time = names.find(columns, names.TIME, [conversation, speaker, text])
    times = [text_of(row.values.get(time)) for row in rows] if time else []
    return TurnsShape(
        conversation=conversation, speaker=speaker, text=text, time=time if sortable(times) is not None else None
    )


def _is_conversation(cell: Any, role: str, content: str) -> bool:
    if not isinstance(cell, list) or not cell:
        return False
    messages = [
        one for one in cell if isinstance(one, dict) and role in one and (content in one or "tool_calls" in one)
    ]
    speakers = {ROLES.get(str(one[role]).strip().lower()) for one in messages}
    return len(messages) == len(cell) and "user" in speakers


def _pairs(columns: Sequence[str], rows: Sequence[Row]) -> Shape | None:
    filled = [column for column in columns if _is_wordy(_texts(column, rows))]
    possible = [column for column in columns if _cells(column, rows) is not None]
    answer = names.find(filled, names.ANSWER) or names.find(possible, names.ANSWER)
    question = names.find(filled, names.QUESTION, [answer]) or names.find(possible, names.QUESTION, [answer])
    if question and not answer:
        answer = _only_other_text(filled, question, rows)
    if not (question and answer):
        question, answer = _by_content(filled, rows)
    if not (question and answer):
        return None
    of_alpaca = names.plain(question) in names.ALPACA_QUESTION
    context = names.find(columns, names.ALPACA_CONTEXT if of_alpaca else names.CONTEXT, [question, answer])
    return PairsShape(
        question=question,
        answer=answer,
        context=context,
        fallback=_fallback(columns, rows, question, [answer, context]),
        system=names.find(columns, names.SYSTEM, [question, answer, context]),
    )


def _only_other_text(filled: Sequence[str], question: str, rows: Sequence[Row]) -> str | None:
    """An answer under an unusual name: the only column with running text beside a question that is named as such."""
    if names.find([question], names.QUESTION[:7]) is None:
        return None
    others = [column for column in filled if column != question and _is_prose(_texts(column, rows))]
    return others[0] if len(others) == 1 else None


def _by_content(filled: Sequence[str], rows: Sequence[Row]) -> tuple[str | None, str | None]:
    """Of exactly two columns with running text, one mostly ends with a question mark and the other is longer."""
    prose = [column for column in filled if _is_prose(_texts(column, rows))]
    if len(prose) != 2:
        return None, None
    for question, answer in (prose, prose[::-1]):
        asked, said = _texts(question, rows), _texts(answer, rows)
        if _share_asking(asked) >= 0.5 > _share_asking(said) and _mean_words(said) > _mean_words(asked):
            return question, answer
    return None, None


def _fallback(columns: Sequence[str], rows: Sequence[Row], question: str, taken: Sequence[str | None]) -> str | None:
    """A title stands in for empty questions where there are any, or where it is plainly the question's title."""
    column = names.find(columns, names.FALLBACK, [question, *taken])
    if column is None or (column and names.plain(column) == "questiontitle"):
        return column
    return column if any(not row.values.get(question) for row in rows) else None


def _text(columns: Sequence[str], rows: Sequence[Row]) -> Shape | None:
    named = names.find([column for column in columns if _is_wordy(_texts(column, rows))], names.TEXT)
    if named:
        return TextShape(column=named)
    prose = [column for column in columns if _is_prose(_texts(column, rows)) and _is_varied(_texts(column, rows))]
    asks = bool(prose) and (
        _share_asking(_texts(prose[0], rows)) >= 0.5 or names.find(prose, names.QUESTION) is not None
    )
    return TextShape(column=prose[0]) if len(prose) == 1 and not asks else None


def _cells(column: str, rows: Sequence[Row]) -> list[str] | None:
    """All cells as text; None if most are objects or lists of numbers."""
    found, objects = [], 0
    for row in rows:
        value = row.values.get(column)
        if _is_numbers(value):
            objects += 1
            continue
        try:
            found.append(answer_of(value) if isinstance(value, dict) else text_of(value))
        except NotTextError:
            objects += 1
    return found if objects <= len(found) else None


def _texts(column: str, rows: Sequence[Row]) -> list[str]:
    """Filled cells as text."""
    return [text for text in _cells(column, rows) or [] if text.strip()]


def _is_wordy(texts: Sequence[str]) -> bool:
    """Not only numbers."""
    return any(not text.strip().replace(".", "", 1).lstrip("-").isdigit() for text in texts)


def _is_prose(texts: Sequence[str]) -> bool:
    return bool(texts) and _mean_words(texts) >= WORDS_OF_TEXT


def _is_varied(texts: Sequence[str]) -> bool:
    return len(set(texts)) >= 0.5 * len(texts)


def _mean_words(texts: Sequence[str]) -> float:
    return sum(len(text.split()) for text in texts) / max(len(texts), 1)


def _share_asking(texts: Sequence[str]) -> float:
    return sum(text.rstrip().endswith("?") for text in texts) / max(len(texts), 1)
