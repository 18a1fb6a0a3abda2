"""Messages, conversations and examples: the one form in which all data travels, whatever file it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

Role = Literal["system", "user", "assistant", "text"]
"""Who speaks. `text` marks plain running text, which is trained on as a whole and stands alone in its conversation."""

ROLES: tuple[str, ...] = get_args(Role)

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


class Message(NamedTuple):
    """One utterance."""

    role: Role
    content: str


Conversation = tuple[Message, ...]
"""Messages in order. Either one `text` message, or an optional system message and then turns."""


@dataclass(frozen=True, slots=True)
class Example:
    """One conversation with its identity; used for training and for evaluation.

    Attributes:
        id: Fingerprint of the content.
        group: Examples of one group (same question) never stand in different splits.
        messages: The conversation; its last message is the reference answer, or the text itself.
    """

    id: str
    group: str
    messages: Conversation

    @property
    def prompt(self) -> Conversation:
        """What the assistant sees before it gives its last answer."""
        return self.messages[:-1]

    @property
    def reference(self) -> str:
        """The answer that the data gives."""
        return self.messages[-1].content

    @property
    def is_text(self) -> bool:
        """Whether this is plain running text without a question."""
        return self.messages[-1].role == "text"
