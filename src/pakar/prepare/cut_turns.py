"""Cut conversations that are longer than the context between their turns, into as few pieces as a greedy walk finds.

A piece begins with a user's message and ends with the answer to it or to a later one; each carries the system message.
Nothing is left out. Later pieces do not know what was said in earlier ones: what that costs is less than losing them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from pakar.conversation import Conversation, conversation
from pakar.models.prompt import Renderer
from pakar.prepare.frames import RECORDS
from pakar.prepare.operators.length import PARTS


def cut_turns(rows: pl.DataFrame, renderer: Renderer, context_tokens: int) -> pl.DataFrame:
    """Long conversations as rows of pieces; a turn that is too long alone stays so.

    Args:
        rows: With the columns of RECORDS; other columns are repeated for every piece.
        renderer: Tells how long a piece is.
        context_tokens: Most tokens of a piece.
    """
    cut = [
        [[one._asdict() for one in piece] for piece in pieces(conversation(messages), renderer, context_tokens)]
        for messages in rows["messages"].to_list()
    ]
    # Pieces of one conversation stand in the same split; a conversation that stays whole keeps its part and group.
    several = pl.col("_pieces").list.len() > 1
    numbered = rows.with_columns(pl.Series("_pieces", cut, pl.List(RECORDS["messages"]))).with_columns(
        pl.when(several & pl.col("group").is_null())
        .then(pl.format("{}:{}:{}", "source", "offset", "part"))
        .otherwise("group")
        .alias("group"),
        pl.int_ranges(1, pl.col("_pieces").list.len() + 1).alias("_number"),
        several.alias("_several"),
    )
    parted = numbered.explode("_pieces", "_number", empty_as_null=True)
    part = pl.when("_several").then(pl.col("part") * PARTS + pl.col("_number")).otherwise("part")
    return parted.with_columns(part.cast(RECORDS["part"]).alias("part"), pl.col("_pieces").alias("messages")).select(
        rows.columns
    )


def pieces(whole: Conversation, renderer: Renderer, context_tokens: int) -> list[Conversation]:
    """The conversation in pieces of at most `context_tokens` tokens, each of one turn at least."""
    first = 1 if whole[0].role == "system" else 0
    starts = [place for place in range(first, len(whole)) if whole[place].role == "user"]
    turns = [whole[start:end] for start, end in zip(starts, [*starts[1:], len(whole)], strict=True)]
    if len(turns) < 2:
        return [whole]
    found: list[Conversation] = []
    while turns:
        count = _most(whole[:first], turns, renderer, context_tokens)
        found.append((*whole[:first], *(message for turn in turns[:count] for message in turn)))
        turns = turns[count:]
    return found


def _most(system: Conversation, turns: Sequence[Conversation], renderer: Renderer, context_tokens: int) -> int:
    """How many of the first turns fit together, one at least: a doubling and then halving search over rendered lengths."""
    fits, too_many = 1, len(turns) + 1
    for count in _doubling(len(turns)):
        if _length(system, turns[:count], renderer) > context_tokens:
            too_many = count
            break
        fits = count
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if _length(system, turns[:middle], renderer) > context_tokens:
            too_many = middle
        else:
            fits = middle
    return fits


def _doubling(most: int) -> Iterator[int]:
    count = 2
    while count < most:
        yield count
        count *= 2
    yield most


def _length(system: Conversation, turns: Sequence[Conversation], renderer: Renderer) -> int:
    """Tokens up to the end of the last answer, whether it is learnt or not."""
    talk = (*system, *(message._replace(learn=True) for turn in turns for message in turn))
    return len(renderer.example(talk).ids)
