"""Column names that people give to questions, answers and texts, best first.

Names are compared without case, punctuation and plural: `Question(s)`, `question_text` and `questionText` fit too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

QUESTION = (
    "question", "instruction", "prompt", "query", "input", "problem", "inquiry", "user", "human", "message", "patient",
    "customer", "questiontitle", "article", "document", "source", "dialogue", "dialog", "post", "context", "title",
    "text",
)  # fmt: skip
ANSWER = (
    "answer", "output", "response", "completion", "reply", "longanswer", "chosen", "target", "summary", "responsej",
    "assistant", "bot", "solution", "tldr", "highlight", "abstract", "doctor", "therapist", "advice",
)  # fmt: skip
CONTEXT = ("context", "passage", "background", "paragraph", "evidence")
ALPACA_QUESTION = ("instruction", "prompt", "task")
ALPACA_CONTEXT = ("input", *CONTEXT)
FALLBACK = ("questiontitle", "title", "subject", "heading")
SYSTEM = ("system", "systemprompt", "systemmessage")
LABEL = (
    "label", "labelgold", "goldlabel", "category", "class", "topic", "intent", "sentiment", "emotion", "genre",
    "subject", "domain",
)  # fmt: skip
TOKEN_IDS = ("inputid", "tokenid", "token")
TEXT = ("text", "content", "fulltext", "document", "body", "article", "abstract", "passage", "paragraph", "raw")
CONVERSATION = (
    "conversationid", "conversation", "chatid", "threadid", "thread", "dialogueid", "dialogid", "sessionid", "session",
    "ticketid", "ticket", "callid", "convid",
)  # fmt: skip
SPEAKER = ("speaker", "role", "sender", "author", "from", "participant", "sendertype", "speakertype", "authortype")
UTTERANCE = ("text", "message", "utterance", "content", "body", "messagetext", "value")
TIME = ("timestamp", "time", "createdat", "sentat", "datetime", "date", "created", "turn", "turnid", "messageindex")
MESSAGES = ("messages", "conversations", "conversation", "dialog", "dialogue", "chat", "turns", "chosen", "prompt")

_BEFORE = ("the", "user", "original", "customer", "patient", "full", "clean", "cleaned")
_AFTER = ("text", "body", "content", "string", "column", "field")
_FOREIGN = re.compile(r"[\W_]+")


def plain(name: str) -> str:
    """What is compared: `Question(s)` → `question`, `answer_texts` → `answertext`."""
    folded = _FOREIGN.sub("", name.casefold())
    return folded[:-1] if len(folded) > 3 and folded.endswith("s") and not folded.endswith("ss") else folded


def find(columns: Sequence[str], ranked: Iterable[str], taken: Sequence[str | None] = ()) -> str | None:
    """The column whose name stands highest in `ranked`, exact before prefixed (`questionText`), and is not `taken`."""
    by_name = {plain(column): column for column in reversed(columns) if column not in taken}
    for base in ranked:
        for name in (plain(base), *(base + after for after in _AFTER), *(before + base for before in _BEFORE)):
            if name in by_name:
                return by_name[name]
    return None


def is_known_name(cell: str) -> bool:
    """Whether `cell` is a usual column name."""
    return find([cell], (*QUESTION, *ANSWER, *TEXT, *MESSAGES, *SYSTEM, "id", "tag", "category", "topic")) is not None
