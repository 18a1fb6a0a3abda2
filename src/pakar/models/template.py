"""What a chat template writes around the contents of a conversation: its marks.

The template is rendered with slots around the contents, and the marks are what stands outside the slots. So it never
shows to the tokenizer whether a mark was written by the template or stood in the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from pakar import text
from pakar.conversation import Conversation
from pakar.errors import RecipeError

PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'user' %}{{ 'Question: ' + message['content'] + '\nAnswer:' }}"
    "{% else %}{{ ' ' + message['content'] + eos_token + '\n\n' }}{% endif %}"
    "{% endfor %}"
)
"""For base models without a chat template of their own (GPT-2, BLOOM, Falcon)."""

_FIXED_DATE = "{% macro strftime_now(format) %}01 Jan 2025{% endmacro %}"
"""Put before templates that write today's date, so that a prompt is tomorrow what it was in training."""

CANNOT_BE_USED = (ValueError, TemplateError)
"""What `marks` raises, or the template itself, where it does not suit a conversation; see `refusal`."""


def marks(tokenizer: PreTrainedTokenizerBase, conversation: Conversation, *, invite: bool) -> list[str]:
    """What the template writes before, between and behind the contents; with `invite` the assistant's turn is opened.

    Raises:
        ValueError: a content is left out, repeated, moved or changed.
    """
    return _outside(tokenizer, conversation, ["{}"] * len(conversation), invite=invite)


def stripped(tokenizer: PreTrainedTokenizerBase, conversation: Conversation, *, invite: bool) -> list[bool] | None:
    """Which contents the template strips of white space; None if the marks depend on more than the roles.

    Raises:
        ValueError: see `marks`.
    """
    bare = marks(tokenizer, with_contents(conversation, ["a"] * len(conversation)), invite=invite)
    other = with_contents(conversation, ["Why? <b>7\n\nB."] * len(conversation))
    padded = _outside(tokenizer, other, ["\t{}\t"] * len(conversation), invite=invite)
    found = []
    for position in range(len(conversation)):
        left, right = padded[position], padded[position + 1]
        kept = left.endswith("\t") and right.startswith("\t") and left != bare[position]
        if kept:
            padded[position], padded[position + 1] = left[:-1], right[1:]
        found.append(not kept)
    return found if padded == bare else None


def check_kept(before: Sequence[str], whole: Sequence[str]) -> None:
    """The marks of a prompt must be the beginning of the marks that are trained on.

    Raises:
        ValueError: they are not.
    """
    last = len(before) - 1
    if before[:last] != whole[:last] or not whole[last].startswith(before[last]):
        raise ValueError(f"adding a message changes what came before it (near {text.shorten(before[last], 40)!r})")


def refusal(error: Exception, conversation: Conversation) -> RecipeError:
    """`error` in plain words, with a way out that suits the conversation."""
    reason = f"the base model's chat template cannot be used for training: {error}"
    roles = [message.role for message in conversation]
    if roles[0] == "system":
        way = "leave out model.system_prompt and system messages in the data"
    elif roles[::2] != ["user"] * len(roles[::2]) or roles[1::2] != ["assistant"] * len(roles[1::2]):
        way = f"see to it that user and assistant take turns in the data (found: {', '.join(roles)})"
    else:
        return RecipeError(reason, next_step="choose a base model whose template keeps earlier messages unchanged.")
    return RecipeError(reason, next_step=f"{way}, or choose another base model.")


def with_contents(conversation: Conversation, contents: Sequence[str]) -> Conversation:
    """The same roles with other contents."""
    return tuple(message._replace(content=c) for message, c in zip(conversation, contents, strict=True))


def _outside(
    tokenizer: PreTrainedTokenizerBase, conversation: Conversation, around: Sequence[str], *, invite: bool
) -> list[str]:
    """What the template writes outside the slots; `around` is put around each slot, and counts as outside."""
    opens = [f"q7Open{position:05d}x" for position in range(len(conversation))]
    shuts = [f"x{position:05d}Shut7q" for position in range(len(conversation))]
    parts = zip(opens, conversation, shuts, around, strict=True)
    slots = [border.replace("{}", a + message.content + b) for a, message, b, border in parts]
    rest = written(tokenizer, with_contents(conversation, slots), invite=invite)
    found = []
    for opened, shut in zip(opens, shuts, strict=True):
        if rest.count(opened) != 1 or rest.count(shut) != 1:
            raise ValueError("it leaves out, repeats or changes a message")
        mark, _, rest = rest.partition(opened)
        _, shut_found, rest = rest.partition(shut)
        if not shut_found:
            raise ValueError("it moves a message")
        found.append(mark)
    return [*found, rest]


def written(tokenizer: PreTrainedTokenizerBase, conversation: Conversation, *, invite: bool) -> str:
    """The conversation as the template writes it."""
    own: Any = tokenizer.chat_template  # a string, or several by name
    dated = _FIXED_DATE + own if isinstance(own, str) and "strftime_now" in own else None
    turns = [message.as_chat() for message in conversation]
    done = tokenizer.apply_chat_template(turns, chat_template=dated, tokenize=False, add_generation_prompt=invite)
    assert isinstance(done, str)  # noqa: S101 - narrows a type for the checker
    return done
