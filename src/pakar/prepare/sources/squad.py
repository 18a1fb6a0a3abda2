"""SQuAD and what is laid out like it: passages with questions about them → a record for every question.

A row is an article (`{"title": …, "paragraphs": [{"context": …, "qas": […]}, …]}`) or one of its paragraphs. A record's
offset is that of the row, its part the number of the question in the row, its group the passage: the questions of one
passage must not be parted by the split, for the passage stands in all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from pakar.conversation import Message
from pakar.prepare.sources.rows import Broken, Record, Row
from pakar.prepare.sources.values import NotTextError, answer_of, as_json, opened, text_of

PARAGRAPHS, CONTEXT, QUESTIONS = "paragraphs", "context", "qas"
COLUMNS = (PARAGRAPHS, CONTEXT, QUESTIONS)


def fits(values: dict[str, Any]) -> bool:
    """Whether a row is an article or a paragraph in this layout."""
    found = _paragraphs(values)
    return found is not None and any(_is_paragraph(one) for one in found)


def records(row: Row) -> Iterator[Record | Broken]:
    """A record for every question that has an answer; what has none is rejected, and counted as a part too."""
    found = _paragraphs(row.values)
    if not found:
        detail = f"expected `paragraphs`, or `context` and `qas`; the record has {', '.join(row.values) or 'nothing'}"
        yield Broken(row.offset, "missing_columns", detail, as_json(row.values), row.part, row.source)
        return
    part = 0
    for paragraph in found:
        questions = _listed(paragraph.get(QUESTIONS)) if isinstance(paragraph, dict) else []
        for question in questions or [None]:
            part += 1
            yield _asked(row, part, paragraph, question)


def _asked(row: Row, part: int, paragraph: Any, asked: Any) -> Record | Broken:
    def rejected(reason: str, detail: str) -> Broken:
        shown = as_json(paragraph if asked is None else asked)
        return Broken(row.offset, reason, detail, shown, part, row.source)

    if not isinstance(paragraph, dict) or not isinstance(asked, dict):
        return rejected("no_questions", "the passage has no questions")
    try:
        context, question = text_of(paragraph.get(CONTEXT)), text_of(asked.get("question"))
        answer = "" if asked.get("is_impossible") else answer_of(asked.get("answers", asked.get("answer")))
    except NotTextError as error:
        return rejected("not_text", str(error))
    if not answer.strip():
        return rejected("no_answer", "the passage does not answer the question")
    words = f"{question}\n\n{context}" if context.strip() else question
    group = f"passage:{hashlib.sha256(context.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
    return Record(row.offset, (Message("user", words), Message("assistant", answer)), part, group, row.source)


def _paragraphs(values: dict[str, Any]) -> list[Any] | None:
    if PARAGRAPHS in values:
        return _listed(values[PARAGRAPHS])
    return [values] if CONTEXT in values and QUESTIONS in values else None


def _is_paragraph(value: Any) -> bool:
    return isinstance(value, dict) and CONTEXT in value and QUESTIONS in value


def _listed(value: Any) -> list[Any]:
    """The elements of a list, which a table's cell may hold as JSON."""
    found = opened(value)
    return list(found) if isinstance(found, list | tuple) else []
