"""`prepare.sources`: which files hold the data, and where question and answer stand in them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pakar.recipe.section import AS_WRITTEN, EXACT, Section

HUB = "hf://datasets/"
"""Begins the path of a dataset on the Hugging Face hub."""


class AutoShape(Section):
    """Recognise the shape from the column names and a look at the rows."""

    kind: Literal["auto"] = "auto"


class PairsShape(Section):
    """One question and one answer a row, under any column names."""

    kind: Literal["pairs"] = "pairs"
    question: str
    """Column with the question, instruction or prompt."""
    answer: str
    """Column with the answer, output or completion."""
    context: str | None = None
    """Column that is added below the question when it is filled, such as Alpaca's `input`."""
    fallback: str | None = None
    """Column used as the question when the question is empty, such as a title."""
    system: str | None = None
    """Column with a system message."""


class MessagesShape(Section):
    """A list of messages a row: OpenAI `messages`, ShareGPT `conversations`."""

    kind: Literal["messages"] = "messages"
    column: str = "messages"
    """Column or key with the list."""
    role: str = "role"
    """Key of the speaker in each message (`from` in ShareGPT)."""
    content: str = "content"
    """Key of the text in each message (`value` in ShareGPT)."""


class IntentsShape(Section):
    """A rule bot's file: every pattern of an intent is paired with every response of it."""

    kind: Literal["intents"] = "intents"


class SquadShape(Section):
    """Reading comprehension as in SQuAD: `paragraphs` with a `context` and `qas`; an article or a paragraph a row.

    The passage stands below its question, the first answer is learnt, and the questions of a passage stay together.
    """

    kind: Literal["squad"] = "squad"


class TextShape(Section):
    """Running text without questions; trained on as a whole."""

    kind: Literal["text"] = "text"
    column: str = "text"
    """Column with the text."""
    passage_words: Annotated[int, EXACT, Field(ge=20)] = 200
    """Of documents: about so many words make a passage. Passages end where paragraphs do."""


class TurnsShape(Section):
    """One message a row, as chat logs and ticket systems export them; the rows of a conversation make one record."""

    kind: Literal["turns"] = "turns"
    conversation: str = "conversation"
    """Column that tells which conversation a message belongs to."""
    speaker: str = "speaker"
    """Column with the name or role of who speaks."""
    text: str = "text"
    """Column with the words."""
    time: str | None = None
    """Column to sort a conversation by: ISO dates or numbers. Empty: the rows are in order."""
    assistant: tuple[str, ...] = ()
    """Speakers whose words are learnt; all others are the user. Empty: those called assistant, agent, bot and the like."""


OneShape = Annotated[PairsShape | MessagesShape | IntentsShape | SquadShape | TextShape, Field(discriminator="kind")]


class AnyShape(Section):
    """Rows of several kinds in one file: each is read by the first of these shapes one of whose columns it has filled."""

    kind: Literal["any"] = "any"
    of: Annotated[tuple[OneShape, ...], Field(min_length=2)] = (MessagesShape(), TextShape())
    """The shapes, in the order in which they are tried."""


Shape = Annotated[
    AutoShape | PairsShape | MessagesShape | IntentsShape | SquadShape | TextShape | TurnsShape | AnyShape,
    Field(discriminator="kind"),
]


class Hub(Section):
    """Which part of a dataset on the Hugging Face hub."""

    config: str | None = None
    """Configuration (subset). Empty: the dataset's default."""
    split: str = "train"
    """Split, or a part of one such as `train[:1000]`."""
    revision: str | None = None
    """Branch, tag or commit. Empty: the newest; what it was is part of the fingerprint."""


class Source(Section):
    """One file, or several of one kind."""

    path: str
    """File, folder or pattern (`data/part-*.parquet`), relative to the recipe file, or `hf://datasets/OWNER/NAME`. Compressed files (.gz, .zst) are read as they are."""
    format: Literal[
        "auto", "csv", "tsv", "json", "jsonl", "parquet", "excel", "folder", "document", "text", "chat", "conll", "hub"
    ] = "auto"
    """What kind of file. Empty or `auto`: told from the ending and the first bytes."""
    encoding: str = "auto"
    """Character encoding such as `utf-8` or `cp1252`. `auto`: byte order mark, else UTF-8, else the likeliest."""
    hub: Hub = Hub()
    """Of datasets on the hub, and of local folders with `format: hub`: which part."""
    shape: Shape = AutoShape()
    """Where question and answer stand in a row."""
    label: str | None = None
    """Column that sorts the rows into kinds (topic, outcome), for stratified samples. Empty: the source's name."""
    weight: Annotated[float, EXACT, Field(gt=0), AS_WRITTEN] | None = None
    """Wanted share of this source beside the other weighted ones, such as 3 and 1; surplus rows are left out by seed. Empty: all its rows."""
