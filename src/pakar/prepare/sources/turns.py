"""A list of messages in any of the usual spellings → a conversation, or the reason why not.

Repaired: messages of one speaker in a row become one (joined by a blank line), empty system messages are left out, and
thoughts (`reasoning` parts) are not part of what is said. Tool calls count as the assistant's words and tool results as
the user's. Everything else that breaks the order of turns is rejected.

A message may say that it is only to be read, not learnt, in any spelling of `WEIGHTS`. Of a user's message that changes
nothing: those are never learnt.
"""

from __future__ import annotations

from typing import Any

from pakar.conversation import Conversation, Message, Role
from pakar.prepare.sources.values import TEXT_KEYS, NotTextError, as_json, opened, text_of

ROLES: dict[str, Role] = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user", "customer": "user", "patient": "user", "client": "user",
    "assistant": "assistant", "gpt": "assistant", "bot": "assistant", "chatgpt": "assistant", "model": "assistant",
    "ai": "assistant", "bard": "assistant", "bing": "assistant", "agent": "assistant", "therapist": "assistant",
    "doctor": "assistant", "function_call": "assistant", "tool_call": "assistant",
    "observation": "user", "tool": "user", "function": "user", "tool_response": "user", "function_response": "user",
}  # fmt: skip

WEIGHTS: dict[str, bool] = {
    "weight": True,  # OpenAI's fine-tuning format, Axolotl
    "train": True, "training": True, "trainable": True,
    "loss": True,  # ms-swift
    "learn": True,  # Pakar's own examples
    "masked": False,  # torchtune
}  # fmt: skip
"""Key of a message → whether 1 or true there means that it is learnt."""

YES_AND_NO = {"1": True, "1.0": True, "true": True, "yes": True, "0": False, "0.0": False, "false": False, "no": False}

SPOKEN_PARTS = {"text", "input_text", "output_text", "tool_call", "function_call", "refusal"}
THOUGHT_PARTS = {"reasoning", "thinking"}


class BadTurnsError(Exception):
    """The messages make no conversation.

    Args:
        reason: One word for the ledger.
        detail: What exactly is wrong.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def conversation(value: Any, *, role: str, content: str, answer: str | None = None, system: str = "") -> Conversation:
    """The messages in `value` as a conversation that ends with an answer.

    Args:
        value: The cell with the list.
        role: Key of the speaker.
        content: Key of the text.
        answer: Said by the assistant at the end, if the list ends with the user.
        system: Put first, if the list holds no system message.

    Raises:
        BadTurnsError: with the reason word.
    """
    said = [_message(one, number, role, content) for number, one in enumerate(_listed(value), 1)]
    if system.strip() and not any(message.role == "system" for message in said):
        said.insert(0, Message("system", system))
    if answer and said and said[-1].role == "user":
        said.append(Message("assistant", answer))
    for number, message in enumerate(said, 1):
        if message.role != "system" and not message.content.strip():
            raise BadTurnsError("empty_message", f"message {number} ({message.role}) is empty")
    turns = _joined([message for message in said if message.content.strip()])
    _check_order(turns)
    return turns


def _listed(value: Any) -> list[Any]:
    messages = opened(value)
    if not isinstance(messages, list | tuple) or not messages:
        raise BadTurnsError("missing_turns", "there is no list of messages")
    return list(messages)


def _message(one: Any, number: int, role: str, content: str) -> Message:
    if not isinstance(one, dict):
        raise BadTurnsError("unsupported_content", f"message {number} is no object with {role!r} and {content!r}")
    name = str(one.get(role, "")).strip().lower()
    if name not in ROLES:
        raise BadTurnsError(
            "unknown_role", f"message {number} has {role} {one.get(role)!r}; known are {', '.join(ROLES)}"
        )
    said = _said(one.get(content), number)
    if not said.strip() and one.get("tool_calls"):
        said = "\n".join(
            as_json(call.get("function", call) if isinstance(call, dict) else call) for call in one["tool_calls"]
        )
    return Message(ROLES[name], said, _is_learnt(one, number))


def _is_learnt(one: dict[str, Any], number: int) -> bool:
    """Whether the message is to be learnt: it is, unless a key says otherwise; keys that say nothing are passed over."""
    learnt = True
    for key in WEIGHTS.keys() & one.keys():
        value = one[key]
        if value is None or value == "":
            continue
        said = YES_AND_NO.get(str(value).strip().lower())
        if said is None:
            raise BadTurnsError(
                "unsupported_weight",
                f"message {number} has {key} {value!r}; only 0 (read) and 1 (learnt) are understood",
            )
        learnt = learnt and said == WEIGHTS[key]
    return learnt


def _said(value: Any, number: int) -> str:
    """The text of a message: plain, or typed parts such as `{"type": "text", "text": …}` one after the other."""
    if not isinstance(value, list):
        try:
            return text_of(value)
        except NotTextError as error:
            raise BadTurnsError("unsupported_content", f"message {number}: {error}") from None
    return "\n".join(filter(None, (_part(part, number) for part in value)))


def _part(part: Any, number: int) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type", "text") if isinstance(part, dict) else type(part).__name__
    if kind in THOUGHT_PARTS:
        return ""
    texts = [part[key] for key in TEXT_KEYS if isinstance(part.get(key), str)] if isinstance(part, dict) else []
    if kind not in SPOKEN_PARTS or not texts:
        raise BadTurnsError("unsupported_content", f"message {number} has a part of type {kind!r}; only text is read")
    return str(texts[0])


def _joined(messages: list[Message]) -> Conversation:
    turns: list[Message] = []
    for message in messages:
        if turns and turns[-1].role == message.role:
            if message.role == "assistant" and message.learn != turns[-1].learn:
                raise BadTurnsError(
                    "mixed_weights", "two answers stand in a row, of which only one is to be learnt; join or part them"
                )
            turns[-1] = turns[-1]._replace(content=f"{turns[-1].content}\n\n{message.content}")
        else:
            turns.append(message)
    return tuple(turns)


def _check_order(turns: Conversation) -> None:
    roles = [message.role for message in turns]
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if "system" in spoken:
        raise BadTurnsError("missing_turns", "a system message stands between the turns; it belongs at the beginning")
    if "user" not in spoken or spoken[0] != "user":
        raise BadTurnsError("missing_turns", "the conversation does not begin with the user")
    if spoken[-1] != "assistant":
        raise BadTurnsError("no_answer", "the conversation ends without an answer of the assistant")
