"""Cells of any type → text. Lists, numbers and objects come from JSON, Parquet and tables with JSON in their cells."""

from __future__ import annotations

import ast
import json
import math
from typing import Any

TEXT_KEYS = ("text", "value", "content")


class NotTextError(Exception):
    """A cell holds an object or a list of objects where text is expected."""


def text_of(value: Any) -> str:
    """A cell as text: nothing and NaN become empty, numbers are written out, a list of texts is joined line by line.

    Raises:
        NotTextError: for objects and nested lists.
    """
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple) and not any(isinstance(one, dict | list | tuple) for one in value):
        return "\n".join(text_of(one) for one in value)
    if isinstance(value, dict | list | tuple):
        raise NotTextError(
            f"expected text, found {'an object' if isinstance(value, dict) else 'a list of objects or lists'}"
        )
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def answer_of(value: Any) -> str:
    """Like `text_of`, but of a list of texts only the first that is not empty: such lists hold alternative answers.

    Objects around a text are opened, as preference data (`{"from": "gpt", "value": …}`) and SQuAD
    (`{"text": […], "answer_start": […]}`) write answers.
    """
    if isinstance(value, list | tuple):
        texts = [answer_of(one) for one in value]
        return next(filter(None, texts), "")
    if isinstance(value, dict):
        key = next((key for key in TEXT_KEYS if isinstance(value.get(key), str | list)), None)
        return text_of(value) if key is None else answer_of(value[key])
    return text_of(value)


def label_of(value: Any) -> str | None:
    """The kind of a row as text; nothing at all is none."""
    try:
        return text_of(value) or None
    except NotTextError:
        return as_json(value)


def opened(value: Any) -> Any:
    """A list or object written as text in a table's cell (as JSON or as Python prints it), or `value` itself."""
    if not isinstance(value, str) or value.strip()[:1] not in {"[", "{"}:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return value


def as_json(value: Any) -> str:
    """A whole row for the eyes of a person."""
    return json.dumps(value, ensure_ascii=False, default=str)
