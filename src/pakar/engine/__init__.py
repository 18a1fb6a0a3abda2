"""What turns conversations into answers: the Engine protocol and its two value types. Implementations stand beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pakar.conversation import Conversation
from pakar.recipe import Sampling

StopReason = Literal["end", "length"]
"""`end`: the model ended its turn by itself. `length`: it reached the most tokens allowed and was cut off."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer.

    Attributes:
        text: The answer without marks.
        stop_reason: Why it stops there.
        prompt_tokens: Tokens read.
        answer_tokens: Tokens written, the end mark included.
        prompt_cut: The conversation was longer than the context allows, and its oldest part was not read.
    """

    text: str
    stop_reason: StopReason
    prompt_tokens: int
    answer_tokens: int
    prompt_cut: bool = False


class Engine(Protocol):
    """Answers conversations that end with a user message."""

    def complete(self, conversations: Sequence[Conversation], sampling: Sampling, seed: int) -> list[Completion]:
        """One completion per conversation, in order. Same arguments, same answers."""
        ...

    def stream(self, conversation: Conversation, sampling: Sampling, seed: int) -> Iterator[str]:
        """The answer piece by piece, as it is written."""
        ...
