"""Render every row to token ids and loss mask, and see to it that it fits into the model's context."""

from __future__ import annotations

from typing import Literal

import polars as pl

from pakar.conversation import conversation
from pakar.examples import schema
from pakar.models.prompt import Renderer
from pakar.prepare.cut_turns import cut_turns
from pakar.prepare.frames import Sieved, sieve

NAME = "context"
NOTHING_LEARNT = "no message carries loss: every answer is marked as one that is only read"

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
    conversations = [conversation(messages) for messages in batch["messages"].to_list()]
    rendered = renderer.examples(conversations)
    limits = [None if messages[-1].role == "text" else context_tokens for messages in conversations]
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
    batch: pl.DataFrame, renderer: Renderer, context_tokens: int, too_long: Literal["truncate", "reject", "split"]
) -> Sieved:
    """Rendered rows that can be trained on; with `split` long conversations become several rows.

    Reasons: `nothing_learnt` (no message is to be learnt), `prompt_too_long` (no room is left for an answer), `too_long`.
    """
    batch = render(batch, renderer, context_tokens)
    if too_long == "split":
        batch = _split(batch, renderer, context_tokens)
    length = (pl.col("question_tokens") + pl.col("answer_tokens")).cast(pl.String)
    detail = length + f" tokens, the context holds {context_tokens}"
    kept, unlearnt = sieve(batch, pl.col("answer_tokens") > 0, "nothing_learnt", NAME, NOTHING_LEARNT)
    kept, without_answer = sieve(kept, pl.col("loss_mask").list.contains(1), "prompt_too_long", NAME, detail)
    if too_long != "reject":
        return Sieved(kept, pl.concat([unlearnt, without_answer]))
    kept, long = sieve(kept, ~pl.col("truncated"), "too_long", NAME, detail)
    return Sieved(kept, pl.concat([unlearnt, without_answer, long]))


def _split(rendered: pl.DataFrame, renderer: Renderer, context_tokens: int) -> pl.DataFrame:
    """Rows over the context as pieces that fit, in the place of the whole."""
    if not rendered["truncated"].any():
        return rendered
    ordered = rendered.with_row_index("_order")
    long = ordered.filter("truncated").drop(TOKEN_COLUMNS.names())
    cut = render(cut_turns(long, renderer, context_tokens), renderer, context_tokens)
    together = pl.concat([ordered.filter(~pl.col("truncated")), cut]).sort("_order", maintain_order=True)
    return together.drop("_order")
