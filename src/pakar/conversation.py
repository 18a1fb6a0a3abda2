"""Messages, conversations and examples: the one form in which all data travels, whatever file it came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

Role = Literal["system", "user", "assistant", "text"]
"""Who speaks. `text` marks plain running text, which is trained on as a whole and stands alone in its conversation."""

ROLES: tuple[str, ...] = get_args(Role)

LEARNT: tuple[Role, ...] = ("assistant", "text")
"""Whose words a model can learn to write."""

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


class Message(NamedTuple):
    """One utterance.

    Attributes:
        role: Who speaks.
        content: What is said.
        learn: Whether the model learns to write it. What system and user say is never learnt, whatever stands here.
    """

    role: Role
    content: str
    learn: bool = True

    @property
    def is_learnt(self) -> bool:
        """Whether the words carry loss: those of the assistant and of plain text, unless they are only to be read."""
        return self.learn and self.role in LEARNT

    def as_chat(self) -> dict[str, str]:
        """As chat templates and chat interfaces want it: `role` and `content`."""
        return {"role": self.role, "content": self.content}


Conversation = tuple[Message, ...]
"""Messages in order. Either one `text` message, or an optional system message and then turns."""


def conversation(messages: Iterable[Mapping[str, Any]]) -> Conversation:
    """Messages as tables hold them: `role`, `content` and, unless it is to be learnt, `learn: false`."""
    return tuple(Message(one["role"], one["content"], one.get("learn") is not False) for one in messages)


@dataclass(frozen=True, slots=True)
class Example:
    """One conversation with its identity; used for training and for evaluation.

    Attributes:
        id: Fingerprint of the content.
        group: Examples of one group (same question) never stand in different splits.
        messages: The conversation; its last message that is learnt is the reference answer, or the text itself.
    """

    id: str
    group: str
    messages: Conversation

    @property
    def prompt(self) -> Conversation:
        """What the assistant sees before it gives the reference answer."""
        return self.messages[: self._answer]

    @property
    def reference(self) -> str:
        """The answer that the data gives."""
        return self.messages[self._answer].content

    @property
    def is_text(self) -> bool:
        """Whether this is plain running text without a question."""
        return self.messages[-1].role == "text"

    @property
    def _answer(self) -> int:
        """Place of the last message that is learnt."""
        last = len(self.messages) - 1
        return next((place for place in range(last, -1, -1) if self.messages[place].is_learnt), last)
