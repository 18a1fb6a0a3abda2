"""Which shape do rows have? Told from the column names, else from what stands in the columns; refused when in doubt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pakar.errors import DataError
from pakar.prepare.sources import names
from pakar.prepare.sources.rows import Row
from pakar.prepare.sources.turns import ROLES
from pakar.prepare.sources.values import NotTextError, answer_of, as_json, opened, text_of
from pakar.recipe import IntentsShape, MessagesShape, PairsShape, Shape, TextShape
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
WORDS_OF_TEXT = 3.0
"""A column with fewer words on average is no running text but a label, a name, a number."""


def recognise(columns: Sequence[str], rows: Sequence[Row]) -> Shape | None:
    """The shape of `rows`, or None when it cannot be told without guessing."""
    rows = rows[:LOOK_ROWS]
    spoken = _intents(rows) or _messages(columns, rows)
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
    shown = "\n".join(f"    {shorten(name, 40)}: {_samples(name, rows)}" for name in columns[:12])
    more = f"\n    … and {len(columns) - 12:,} more" if len(columns) > 12 else ""
    hint = " The file is already tokenised; bring the texts instead." if "input_ids" in columns else ""
    return DataError(
        f"{path}: it is not clear which columns hold questions and answers.{hint} Columns and values:\n{shown}{more}",
        next_step=f"say it with the right names: `pakar init FILE --shape '…'`, or `shape: …` below the source's path in the recipe, where … is "
        f"{_suggestion(columns, rows)}.",
    )


def _is_one_large_object(columns: Sequence[str], rows: Sequence[Row]) -> bool:
    """Such as a tokenizer's vocabulary: among so many keys some look like names of columns."""
    return len(rows) == 1 and len(columns) > MOST_COLUMNS


def _suggestion(columns: Sequence[str], rows: Sequence[Row]) -> str:
    by_words = {name: _mean_words(_texts(name, rows)) for name in columns}
    longest = sorted(columns, key=lambda name: -by_words[name])[:2]
    text, *other = longest
    question = names.find(columns, names.QUESTION[:8]) or (other[0] if other and by_words[other[0]] else None)
    as_text = f"`{{kind: text, column: {json.dumps(text, ensure_ascii=False)}}}` for running text"
    if question is None or question == text:
        return as_text
    pair = f"question: {json.dumps(question, ensure_ascii=False)}, answer: {json.dumps(text, ensure_ascii=False)}"
    return f"`{{kind: pairs, {pair}}}` for questions with answers, or {as_text}"


def _samples(name: str, rows: Sequence[Row]) -> str:
    values = [row.values[name] for row in rows if row.values.get(name) not in (None, "", [])][:2]
    return " | ".join(shorten(value if isinstance(value, str) else as_json(value), 50) for value in values) or "(empty)"


def _intents(rows: Sequence[Row]) -> Shape | None:
    fitting = sum("patterns" in row.values and "responses" in row.values for row in rows)
    return IntentsShape() if fitting > len(rows) / 2 else None


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
    """All cells as text; None if most are objects."""
    found, objects = [], 0
    for row in rows:
        value = row.values.get(column)
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
