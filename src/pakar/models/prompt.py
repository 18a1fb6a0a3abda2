"""The one renderer: Conversation → token ids + loss mask. Training, evaluation, chat and serving all call it.

The mask comes from prefix rendering: the template is applied to the messages before an answer (with the mark that
invites one) and to the messages up to and including it; what the second has more than the first is the answer. So no
knowledge of a model's marks is needed. The answer's text and the model's end-of-turn token are supervised, nothing else.

Each piece is tokenised on its own. A prompt at serving time is therefore the very same ids as in training, even where a
tokenizer would merge letters across the border.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from pakar import text
from pakar.conversation import Conversation, Message
from pakar.errors import RecipeError

PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'user' %}{{ 'Question: ' + message['content'] + '\nAnswer:' }}"
    "{% else %}{{ ' ' + message['content'] + eos_token + '\n\n' }}{% endif %}"
    "{% endfor %}"
)
"""For base models without a chat template of their own (GPT-2, BLOOM, Falcon)."""


class Rendered(NamedTuple):
    """Token ids and loss mask of equal length; the mask is 1 where the token is trained on."""

    ids: list[int]
    loss_mask: list[int]


@dataclass(frozen=True)
class Renderer:
    """Renders conversations for one tokenizer.

    Attributes:
        tokenizer: With a chat template; see `renderer`.
        end_id: The token that ends an answer; generation stops at it.
        system_prompt: Put before conversations that have no system message. Empty: nothing is put there.
    """

    tokenizer: PreTrainedTokenizerBase
    end_id: int
    system_prompt: str = ""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same conversation would become other ids."""
        template = self.tokenizer.chat_template
        probe = self.ids("Ünïcode 123\n  don't") if self.tokenizer.is_fast else []
        return text.fingerprint(
            str(template), str(self.end_id), self.system_prompt, str(len(self.tokenizer)), str(probe)
        )

    def ids(self, piece: str) -> list[int]:
        """Ids of a piece of rendered text, without marks that the tokenizer would add by itself."""
        return list(self.tokenizer(piece, add_special_tokens=False)["input_ids"])

    def prompt(self, conversation: Conversation) -> list[int]:
        """Ids of a conversation that ends with a user message, up to where the assistant begins."""
        return self._walk(conversation, invite=True).ids

    def example(self, conversation: Conversation) -> Rendered:
        """Ids and loss mask of a whole conversation, or of plain text (all of it supervised)."""
        if conversation[-1].role == "text":
            start = [self.tokenizer.bos_token_id] if self.tokenizer.bos_token_id is not None else []
            body = [*self.ids(conversation[-1].content), self.end_id]
            return Rendered([*start, *body], [0] * len(start) + [1] * len(body))
        return self._walk(conversation, invite=False)

    def _walk(self, conversation: Conversation, *, invite: bool) -> Rendered:
        if self.system_prompt and conversation[0].role != "system":
            conversation = (Message("system", self.system_prompt), *conversation)
        ids: list[int] = []
        mask: list[int] = []
        done = ""
        for position, message in enumerate(conversation):
            if message.role != "assistant":
                continue
            before = self._template(conversation[:position], invite=True)
            after = self._template(conversation[: position + 1], invite=False)
            prompt = self.ids(_rest(before, done))
            answer, tail = self._split_at_end(self.ids(_rest(after, before)))
            ids += [*prompt, *answer, *tail]
            mask += [0] * len(prompt) + [1] * len(answer) + [0] * len(tail)
            done = after
        if invite:
            question = self.ids(_rest(self._template(conversation, invite=True), done))
            return Rendered([*ids, *question], [*mask, *([0] * len(question))])
        # What a template writes after the last end of turn (a line end, say) is never generated, so it is not kept.
        length = max((i for i, supervised in enumerate(mask) if supervised), default=-1) + 1
        return Rendered(ids[:length], mask[:length])

    def _split_at_end(self, answer: list[int]) -> tuple[list[int], list[int]]:
        """The answer up to and with its end-of-turn token, and what the template writes behind that."""
        if self.end_id not in answer:
            return [*answer, self.end_id], []
        last = len(answer) - answer[::-1].index(self.end_id)
        return answer[:last], answer[last:]

    def _template(self, conversation: Conversation, *, invite: bool) -> str:
        turns = [message._asdict() for message in conversation]
        rendered = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=invite)
        assert isinstance(rendered, str)  # noqa: S101 - narrows a type for the checker
        return rendered


def renderer(tokenizer: PreTrainedTokenizerBase, system_prompt: str = "") -> Renderer:
    """The renderer of a tokenizer; gives it the plain template if it has none of its own.

    Raises:
        RecipeError: the tokenizer has no token to end a text with, or its template cannot be rendered by prefixes.
    """
    if tokenizer.eos_token_id is None:
        raise RecipeError("the base model's tokenizer has no end-of-text token, so no model could learn to stop",
                          next_step="choose another base model.")  # fmt: skip
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TEMPLATE
    probe = (Message("user", "Is it late?"), Message("assistant", "A little."))
    shown = Renderer(tokenizer, int(tokenizer.eos_token_id))
    try:
        tail = shown.ids(_rest(shown._template(probe, invite=False), shown._template(probe[:1], invite=True)))
    except ValueError as error:
        raise RecipeError(f"the base model's chat template cannot be used for training: {error}",
                          next_step="choose a base model whose template keeps earlier messages unchanged.") from None  # fmt: skip
    special = [i for i in tail if i in set(tokenizer.all_special_ids)]
    return Renderer(tokenizer, special[-1] if special else int(tokenizer.eos_token_id), system_prompt)


def _rest(whole: str, beginning: str) -> str:
    if not whole.startswith(beginning):
        raise ValueError(
            f"adding a message changes what came before it ({text.shorten(beginning, 40)!r} is not a prefix)"
        )
    return whole[len(beginning) :]
