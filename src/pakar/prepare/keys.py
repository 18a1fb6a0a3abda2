"""What set-wise steps compare: the identity of a row, its question, and the group that the split must not part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from pakar import text
from pakar.prepare.frames import Sieved, reject

NAME = "duplicates"
GREETING_WORDS = 2
"""An opening of so few words ("Hi", "Good morning") is not the question of a longer conversation."""


def add_keys(batch: pl.DataFrame) -> pl.DataFrame:
    """Add `id` (fingerprint of all messages) and `question`, and replace `group` by a fingerprint or the question."""
    ids, questions, groups = [], [], []
    for messages, group in zip(batch["messages"].to_list(), batch["group"].to_list(), strict=True):
        ids.append(text.fingerprint(*(part for message in messages for part in (message["role"], message["content"]))))
        questions.append(question_key([m["content"] for m in messages if m["role"] in ("user", "text")]))
        groups.append(text.fingerprint("group", group) if group else questions[-1])
    return batch.with_columns(
        pl.Series("id", ids, pl.String),
        pl.Series("question", questions, pl.String),
        pl.Series("group", groups, pl.String),
    )


def question_key(asked: Sequence[str]) -> str:
    """Fingerprint of what a conversation asks: its first message that is more than a greeting, else all of them.

    Case, punctuation and white space do not count.
    """
    first = next((words for words in asked if len(words.split()) > GREETING_WORDS), None)
    return text.fingerprint(text.key(first if first is not None else "\n".join(asked)))


def message_keys(messages: Iterable[Mapping[str, str]]) -> list[str]:
    """Fingerprints of every single user message, for finding out whether something was asked anywhere."""
    return [text.fingerprint(text.key(message["content"])) for message in messages if message["role"] == "user"]


class Groups:
    """Which rows belong together: linked names form one group, however long the chain (union-find).

    A group is named after its smallest member, so the name depends on content only.
    """

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def link(self, one: str, other: str) -> None:
        """Put two names into one group."""
        low, high = sorted((self.of(one), self.of(other)))
        self._above[high] = low

    def of(self, name: str) -> str:
        """The group of a name."""
        top = name
        while (above := self._above.get(top, top)) != top:
            top = above
        while name != top:  # shorten the way for the next time
            self._above[name], name = top, self._above[name]
        return top


def reject_duplicates(batch: pl.DataFrame, seen: set[str]) -> Sieved:
    """Rows whose id was not seen before; `seen` grows. The first of equal rows in reading order stays."""
    fresh = []
    for identity in batch["id"]:
        fresh.append(identity not in seen)
        seen.add(identity)
    mask = pl.Series(fresh, dtype=pl.Boolean)
    repeated = reject(batch.filter(~mask), "duplicate", NAME, "all messages equal those of an earlier row")
    return Sieved(batch.filter(mask), repeated)


def number_duplicates(batch: pl.DataFrame, seen: dict[str, int]) -> pl.DataFrame:
    """Where equal rows are kept, give each an id of its own."""
    ids = []
    for identity in batch["id"]:
        seen[identity] = seen.get(identity, 0) + 1
        ids.append(identity if seen[identity] == 1 else text.fingerprint(identity, str(seen[identity])))
    return batch.with_columns(pl.Series("id", ids, pl.String))
