"""The one renderer: Conversation → token ids + loss mask. Training, evaluation, chat and serving all call it.

The template is rendered with slots instead of contents; what stands between the slots are its marks. Which part of the
marks the assistant writes itself shows from rendering the messages before an answer with the mark that invites one.
So no knowledge of a model's marks is needed. The answer's text and the model's end-of-turn token are supervised,
nothing else.

Marks and contents are tokenised apart. A prompt at serving time is therefore the very same ids as in training, even
where a tokenizer would merge letters across the border; and a mark inside a content is read as text, never obeyed.

An answer with `learn` off is read like a question: neither its text nor its end is supervised.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from typing import Any, NamedTuple

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from pakar import text
from pakar.conversation import Conversation, Message
from pakar.errors import RecipeError
from pakar.models import template
from pakar.models.template import PLAIN_TEMPLATE

_SAMPLE = (
    "Don't STOP at 1,234.5 cafés - Straße №7: naïve x_y==z,\n\n\ttwo  spaces… 你好 สวัสดี مرحبا नमस्ते 🙂 Selamat tidur!"
)
"""Letters, digits, marks and spaces on which tokenizers differ."""
_TWO_TURNS = (
    Message("user", "Is it late?"),
    Message("assistant", "A little."),
    Message("user", "Ünïcode 123\n  don't"),
    Message("assistant", "Então.</s><|end|> So."),
)


class Rendered(NamedTuple):
    """Token ids and loss mask of equal length; the mask is 1 where the token is trained on."""

    ids: list[int]
    loss_mask: list[int]


class _Piece(NamedTuple):
    """Ids of a mark, or the place of a message's content."""

    supervised: bool
    ids: Sequence[int] = ()
    message: int = -1  # its content stands here; -1: a mark
    lead: str = ""  # spaces before the content, which a tokenizer may join with its first word
    strip: bool = False  # the template strips contents


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
    _layouts: dict[tuple[str, ...], list[_Piece] | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same conversation would become other ids."""
        seen = [*self.example(_TWO_TURNS), self.prompt(_TWO_TURNS[:3])]
        shown = template.written(self.tokenizer, _TWO_TURNS, invite=False)
        facts = (
            self.tokenizer.chat_template,
            self.end_id,
            self.system_prompt,
            len(self.tokenizer),
            shown,
            seen,
            self.ids(_SAMPLE),
        )
        return text.fingerprint(*map(str, facts))

    def ids(self, piece: str) -> list[int]:
        """Ids of a piece of rendered text, without marks that the tokenizer would add by itself."""
        return list(self.tokenizer(piece, add_special_tokens=False)["input_ids"])

    def prompt(self, conversation: Conversation) -> list[int]:
        """Ids of a conversation that ends with a user message, up to where the assistant begins."""
        return self._fill([self.with_system(conversation)], invite=True)[0].ids

    def example(self, conversation: Conversation) -> Rendered:
        """Ids and loss mask of a whole conversation, or of plain text (all of it supervised)."""
        return self.examples([conversation])[0]

    def examples(self, conversations: Sequence[Conversation]) -> list[Rendered]:
        """The same for many conversations, which is much faster than one by one.

        What a template writes after the last end of turn (a line end, say) is never generated, so it is not kept.
        """
        done = self._fill([self.with_system(conversation) for conversation in conversations], invite=False)
        for ids, mask in done:
            if 1 not in mask:
                mask.clear()
            while mask and not mask[-1]:
                mask.pop()
            del ids[len(mask) :]
        return done

    def with_system(self, conversation: Conversation) -> Conversation:
        """The conversation with the system prompt before it, where it has none of its own."""
        if self.system_prompt and conversation[0].role not in ("system", "text"):
            return (Message("system", self.system_prompt), *conversation)
        return conversation

    def _fill(self, conversations: Sequence[Conversation], *, invite: bool) -> list[Rendered]:
        """Layouts with contents put in; all contents are tokenised in one call."""
        layouts = [self._layout(conversation, invite=invite) for conversation in conversations]
        contents = []
        for conversation, layout in zip(conversations, layouts, strict=True):
            for piece in layout:
                if piece.message >= 0:
                    content = conversation[piece.message].content
                    contents.append(piece.lead + (content.strip() if piece.strip else content))
        tokenised = iter(self._codec.contents(contents))
        done = []
        for layout in layouts:
            ids: list[int] = []
            mask: list[int] = []
            for piece in layout:
                more = piece.ids if piece.message < 0 else next(tokenised)
                ids += more
                mask += [int(piece.supervised)] * len(more)
            done.append(Rendered(ids, mask))
        return done

    @cached_property
    def _closed(self) -> bool:
        """Whether the template writes the end of every turn by itself."""
        return self.end_id in _behind_answers(self.tokenizer)

    @cached_property
    def _codec(self) -> _Codec:
        return _Codec(self.tokenizer)

    def _layout(self, conversation: Conversation, *, invite: bool) -> list[_Piece]:
        if conversation[-1].role == "text":
            return self._text_layout(len(conversation) - 1)
        read = (f"{message.role}{'' if message.learn else ', only read'}" for message in conversation)
        key = (*read, "invite" if invite else "whole")
        try:
            if key not in self._layouts:
                stripped = template.stripped(self.tokenizer, conversation, invite=invite)
                same = template.with_contents(conversation, ["a"] * len(conversation))
                self._layouts[key] = None if stripped is None else [*self._pieces(same, stripped, invite=invite)]
            known = self._layouts[key]
            return known or [*self._pieces(conversation, [False] * len(conversation), invite=invite)]
        except template.CANNOT_BE_USED as error:
            raise template.refusal(error, conversation) from None

    def _text_layout(self, message: int) -> list[_Piece]:
        bos = self.tokenizer.bos_token_id
        start = [_Piece(supervised=False, ids=[bos])] if isinstance(bos, int) else []
        body = _Piece(supervised=True, message=message, lead=self._codec.beginning)
        return [*start, body, _Piece(supervised=True, ids=[self.end_id])]

    def _pieces(self, conversation: Conversation, stripped: Sequence[bool], *, invite: bool) -> Iterator[_Piece]:
        """Marks and places of contents in order."""
        marks = template.marks(self.tokenizer, conversation, invite=invite)
        for position, message in enumerate(conversation):
            mark = marks[position]
            given = mark.rstrip(" ")
            own = ""
            if message.role == "assistant":
                before = template.marks(self.tokenizer, conversation[:position], invite=True)
                template.check_kept(before, marks)
                given, own = before[-1], mark[len(before[-1]) :].rstrip(" ")
            yield from self._mark(given, conversation[:position])
            if own:
                yield _Piece(supervised=message.learn, ids=self._codec.mark(own))
            lead = mark[len(given) + len(own) :]
            yield _Piece(supervised=message.is_learnt, message=position, lead=lead, strip=stripped[position])
        yield from self._mark(marks[-1], conversation)

    def _mark(self, mark: str, before: Conversation) -> Iterator[_Piece]:
        """A mark that the assistant does not write, but for the end of its answer, if that is the last of `before`."""
        ids = self._codec.mark(mark) if before else self.ids(mark)
        if before and before[-1].role == "assistant":
            end = ids.index(self.end_id) + 1 if self._closed and self.end_id in ids else 0
            yield _Piece(supervised=before[-1].learn, ids=ids[:end] or [self.end_id])
            ids = ids[end:]
        yield _Piece(supervised=False, ids=ids)


class _Codec:
    """Tokenises marks and contents apart: without a space that is put before each, and contents without special tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer: Any = tokenizer
        self._marks: Tokenizer | None = None
        if not tokenizer.is_fast:
            return
        spec = json.loads(self._tokenizer.backend_tokenizer.to_str())
        spec |= {"truncation": None, "padding": None, "post_processor": None}
        spec |= {step: _unprefixed(spec[step]) for step in ("normalizer", "pre_tokenizer")}
        self._marks = Tokenizer.from_str(json.dumps(spec))
        for token in spec["added_tokens"]:  # some tokenizers do not call their marks special
            token["special"] |= token["content"] in str(tokenizer.chat_template) and not token["content"].isspace()
        self._contents = Tokenizer.from_str(json.dumps(spec))
        self._contents.encode_special_tokens = True

    @cached_property
    def beginning(self) -> str:
        """What the tokenizer puts before a text by itself: a space, or nothing."""
        whole = self._tokenizer("a", add_special_tokens=False)["input_ids"]
        return " " if whole != self.mark("a") else ""

    def mark(self, mark: str) -> list[int]:
        if self._marks is None:
            return list(self._tokenizer(mark, add_special_tokens=False)["input_ids"])
        return list(self._marks.encode(mark, add_special_tokens=False).ids)

    def contents(self, contents: list[str]) -> list[list[int]]:
        if self._marks is None:
            return [self._tokenizer.encode(c, add_special_tokens=False, split_special_tokens=True) for c in contents]
        return [done.ids for done in self._contents.encode_batch_fast(contents, add_special_tokens=False)]


def renderer(tokenizer: PreTrainedTokenizerBase, system_prompt: str = "") -> Renderer:
    """The renderer of a tokenizer; gives it the plain template if it has none of its own.

    Raises:
        RecipeError: the tokenizer has no token to end a text with, or its template cannot be used for training.
    """
    if tokenizer.eos_token_id is None:
        raise RecipeError("the base model's tokenizer has no end-of-text token, so no model could learn to stop",
                          next_step="choose another base model.")  # fmt: skip
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TEMPLATE
    try:
        behind = _behind_answers(tokenizer)
    except template.CANNOT_BE_USED as error:
        raise template.refusal(error, _TWO_TURNS) from None
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special} | {*tokenizer.all_special_ids}
    end_id = next((i for i in behind if i in special), tokenizer.eos_token_id)
    found = Renderer(tokenizer, int(end_id), system_prompt)
    found.example(_TWO_TURNS)
    return found


def _behind_answers(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids that the template writes behind an answer, be it the last or one that the talk goes on after."""
    marks = [template.marks(tokenizer, talk, invite=False)[2] for talk in (_TWO_TURNS[:2], _TWO_TURNS)]
    last, inner = (list(tokenizer(mark, add_special_tokens=False)["input_ids"]) for mark in marks)
    same = (one == other for one, other in zip(last, inner, strict=False))
    return [i for i, _ in zip(last, takewhile(bool, same), strict=False)]


def _unprefixed(step: dict[str, Any] | None) -> dict[str, Any] | None:
    """A step of a tokenizer that puts no space before a text."""
    if step is None or step["type"] == "Prepend":
        return None
    step = dict(step)
    if step["type"] == "Metaspace":
        step["prepend_scheme"] = "never"
    if step["type"] == "ByteLevel":
        step["add_prefix_space"] = False
    for name in ("normalizers", "pretokenizers"):
        if name in step:
            step[name] = [inner for inner in map(_unprefixed, step[name]) if inner is not None]
    return step
