"""Render every row to token ids and loss mask, and see to it that it fits into the model's context."""

from __future__ import annotations

from typing import Literal

import polars as pl

from pakar.conversation import Message
from pakar.examples import schema
from pakar.models.prompt import Renderer
from pakar.prepare.frames import Sieved, sieve

NAME = "context"

TOKEN_COLUMNS = schema(
    {
        "input_ids": pl.List(pl.Int32),
        "loss_mask": pl.List(pl.UInt8),
        "question_tokens": pl.UInt32,  # before any cut, marks of the template included
        "answer_tokens": pl.UInt32,
        "truncated": pl.Boolean,
    }
)


def render(batch: pl.DataFrame, renderer: Renderer, context_tokens: int) -> pl.DataFrame:
    """Add TOKEN_COLUMNS. Conversations are cut at `context_tokens`; plain text is kept whole and cut into windows later."""
    conversations = [
        tuple(Message(message["role"], message["content"]) for message in messages)
        for messages in batch["messages"].to_list()
    ]
    rendered = renderer.examples(conversations)
    limits = [None if conversation[-1].role == "text" else context_tokens for conversation in conversations]
    pairs = list(zip(rendered, limits, strict=True))
    answers = [sum(mask) for _, mask in rendered]
    columns = {
        "input_ids": [ids[:limit] for (ids, _), limit in pairs],
        "loss_mask": [mask[:limit] for (_, mask), limit in pairs],
        "question_tokens": [len(ids) - answer for (ids, _), answer in zip(rendered, answers, strict=True)],
        "answer_tokens": answers,
        "truncated": [limit is not None and len(ids) > limit for (ids, _), limit in pairs],
    }
    return batch.hstack(pl.DataFrame(columns, schema=TOKEN_COLUMNS))


def fit_context(
    batch: pl.DataFrame, renderer: Renderer, context_tokens: int, too_long: Literal["truncate", "reject"]
) -> Sieved:
    """Rendered rows that can be trained on. Reasons: `too_long`, `prompt_too_long` (no room is left for the answer)."""
    batch = render(batch, renderer, context_tokens)
    length = (pl.col("question_tokens") + pl.col("answer_tokens")).cast(pl.String)
    detail = length + f" tokens, the context holds {context_tokens}"
    learns = pl.col("loss_mask").list.contains(1)
    kept, without_answer = sieve(batch, learns, "prompt_too_long", NAME, detail)
    if too_long == "truncate":
        return Sieved(kept, without_answer)
    kept, long = sieve(kept, ~pl.col("truncated"), "too_long", NAME, detail)
    return Sieved(kept, pl.concat([without_answer, long]))
