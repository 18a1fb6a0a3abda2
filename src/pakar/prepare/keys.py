"""What set-wise steps compare: the identity of a row, its question, the group that the split must not part, its seeded place.

Keys are the first 64 bits of SHA-256 fingerprints: a column of whole numbers for each, so that the keys of millions of rows
fit into memory where the rows do not. Whether two rows are the same is told by 128 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from pakar import text
from pakar.conversation import Conversation, conversation
from pakar.examples import schema

GREETING_WORDS = 2
"""An opening of so few words ("Hi", "Good morning") is not the question of a longer conversation."""

KEYS = schema(
    {
        "id": pl.String,  # fingerprint of all messages
        "id_high": pl.UInt64,
        "id_low": pl.UInt64,
        "question_key": pl.UInt64,
        "group_key": pl.UInt64,  # of the reader's group, or else of the question
        "place": pl.UInt64,  # seeded: sorting by it shuffles, the same way on every machine, in any order
    }
)

Keys = npt.NDArray[np.uint64]

_ONLY_READ = "\x00only read"


def add_keys(batch: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Add KEYS to a batch with the columns of RECORDS."""
    ids, questions, groups, places = [], [], [], []
    for messages, group in zip(batch["messages"].to_list(), batch["group"].to_list(), strict=True):
        ids.append(identity(conversation(messages)))
        questions.append(number(question_key([m["content"] for m in messages if m["role"] in ("user", "text")])))
        groups.append(number(text.fingerprint("group", group)) if group else questions[-1])
        places.append(place(seed, ids[-1]))
    return batch.with_columns(
        pl.Series("id", ids, pl.String),
        pl.Series("id_high", [number(one) for one in ids], pl.UInt64),
        pl.Series("id_low", [number(one[16:]) for one in ids], pl.UInt64),
        pl.Series("question_key", questions, pl.UInt64),
        pl.Series("group_key", groups, pl.UInt64),
        pl.Series("place", places, pl.UInt64),
    )


def identity(messages: Conversation) -> str:
    """Fingerprint of all messages; equal words of which others are to be learnt are another row."""
    parts = ((one.role, one.content) if one.learn else (one.role, one.content, _ONLY_READ) for one in messages)
    return text.fingerprint(*(part for message in parts for part in message))


def number(fingerprint: str) -> int:
    """The first 64 bits of a fingerprint."""
    return int(fingerprint[:16], 16)


def name(key: int) -> str:
    """A 64-bit key as it is written into examples."""
    return f"{key:016x}"


def place(seed: int, row_id: str) -> int:
    """Where a row stands in the shuffled order."""
    return number(text.seeded(seed, row_id))


def copy_id(row_id: str, copy: int) -> str:
    """Where equal rows are kept, each has an id of its own; the first (copy 0) keeps the plain one."""
    return text.fingerprint(row_id, str(copy + 1)) if copy else row_id


def question_key(asked: Sequence[str]) -> str:
    """Fingerprint of what a conversation asks: its first message that is more than a greeting, else all of them.

    Case, punctuation and white space do not count.
    """
    first = next((words for words in asked if len(words.split()) > GREETING_WORDS), None)
    return text.fingerprint(text.key(first if first is not None else "\n".join(asked)))


def message_keys(messages: Iterable[Mapping[str, str]]) -> list[str]:
    """Fingerprints of every single user message, for finding out whether something was asked anywhere."""
    return [text.fingerprint(text.key(message["content"])) for message in messages if message["role"] == "user"]
