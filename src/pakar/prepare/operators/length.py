"""Hold rows to a length in characters, words (parted by white space) or the base model's tokens.

Reasons: `too_short`, `too_long`; the detail tells both figures. What is not measured passes: a question's length limits no plain text.
Scripts without spaces between words (Chinese, Thai) are better measured in characters or tokens.

`truncate` cuts the last of the measured messages, at the end of a sentence if one ends in the last quarter of what may stay, else between words.
`chunk` cuts plain text into several rows; a conversation cannot be cut into several without parting answers from questions, so it
is rejected as `too_long`. Of the pieces of one text none is lost; they share a group, so the split keeps them together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import polars as pl

from pakar.errors import RecipeError
from pakar.prepare.cutting import Spans, cut_at, pieces, token_spans, word_spans
from pakar.prepare.frames import RECORDS, Sieved, reject, sieve
from pakar.prepare.operators import TOUCHED, Rows, Tools
from pakar.recipe.operators import Length

NAME = "length"
PARTS = 2**16
"""Numbers of pieces: piece p of part n of a record is part n · 2¹⁶ + p."""

_ROLES = {"row": ("system", "user", "assistant", "text"), "question": ("user",), "answer": ("assistant",)}
_SENTENCE_NEAR = 0.75
_CHUNK_NEAR = 0.5


class Unit(NamedTuple):
    """What lengths are counted in.

    Attributes:
        lengths: The length of every text.
        spans: Where the units of a text stand; None where every character is one.
    """

    lengths: Callable[[pl.Series], pl.Series]
    spans: Spans | None


def unit_of(section: Length, tools: Tools) -> Unit:
    """The section's unit.

    Raises:
        RecipeError: texts must be cut at tokens, and the base model's tokenizer does not tell where they stand.
    """
    if section.unit == "characters":
        return Unit(lambda texts: texts.str.len_chars(), None)
    if section.unit == "words":
        return Unit(lambda texts: texts.str.count_matches(r"\S+"), word_spans)
    tokenizer = tools.renderer.tokenizer
    if section.over != "reject" and not tokenizer.is_fast:
        raise RecipeError(
            f"length: over: {section.over} cannot count in tokens: the base model's tokenizer does not tell where they stand",
            next_step="write unit: words, or over: reject.",
        )
    return Unit(lambda texts: _count_tokens(texts, tokenizer), token_spans(tokenizer))


def _count_tokens(texts: pl.Series, tokenizer: Any) -> pl.Series:
    ids = tokenizer(texts.to_list(), add_special_tokens=False, verbose=False)["input_ids"] if len(texts) else []
    return pl.Series([len(one) for one in ids], dtype=pl.UInt32)


def limit_length(batch: pl.DataFrame, section: Length, unit: Unit) -> Sieved:
    """Rows of the right length; shortened and cut rows are TOUCHED."""
    batch = batch.with_columns(measure(batch, section, unit), pl.lit(value=False).alias(TOUCHED)).with_row_index(
        "_order"
    )
    told = pl.col("_length").cast(pl.String) + f" {section.unit} in the {section.of}, "
    kept, short = sieve(batch, pl.col("_length").fill_null(section.min) >= section.min, "too_short", NAME,
                        told + f"at least {section.min} wanted")  # fmt: skip
    if section.max is None:
        return Sieved(kept.drop("_length", "_order"), short)
    over = kept["_length"].fill_null(0) > section.max
    fitting, long = kept.filter(~over), kept.filter(over)
    change = {"reject": _none, "truncate": _truncate, "chunk": _chunk}[section.over]
    changed, left = change(long, section, unit)
    why = ", and a conversation cannot be cut into several rows" if section.over == "chunk" else ""
    rejected = reject(left, "too_long", NAME, told + f"at most {section.max} allowed{why}")
    together = pl.concat([fitting, changed]).sort("_order", maintain_order=True)
    return Sieved(together.drop("_length", "_order"), pl.concat([short, rejected]))


def measure(batch: pl.DataFrame, section: Length, unit: Unit) -> pl.Series:
    """`_length`: of the messages that count, together; null where there are none."""
    rows = batch.select("messages").with_row_index("_row").explode("messages", empty_as_null=True).unnest("messages")
    rows = rows.filter(pl.col("role").is_in(list(_ROLES[section.of])))
    lengths = rows.select("_row", unit.lengths(rows["content"]).cast(pl.Int64).alias("_length"))
    sums = lengths.group_by("_row").agg(pl.col("_length").sum())
    index = pl.DataFrame({"_row": pl.Series(range(len(batch)), dtype=pl.get_index_type())})
    return index.join(sums, on="_row", how="left", maintain_order="left")["_length"]


def _none(long: pl.DataFrame, _: Length, __: Unit) -> Sieved:
    return Sieved(long.clear(), long)


def _truncate(long: pl.DataFrame, section: Length, unit: Unit) -> Sieved:
    """Rows cut to the limit, and rows in which other messages alone pass it."""
    shortened: list[list[dict[str, str]] | None] = []
    limit = section.max or 0
    for messages in long["messages"].to_list():
        places = [n for n, message in enumerate(messages) if message["role"] in _ROLES[section.of]]
        last = messages[places[-1]]
        others = pl.Series([messages[n]["content"] for n in places[:-1]], dtype=pl.String)
        room = limit - int(unit.lengths(others).sum())
        cut = (
            cut_at(last["content"], room, unit.spans, near=_SENTENCE_NEAR)
            if room > 0 and last["role"] != "system"
            else 0
        )
        last["content"] = last["content"][:cut].rstrip()
        shortened.append(messages if last["content"] else None)
    fits = pl.Series([messages is not None for messages in shortened], dtype=pl.Boolean)
    done = pl.Series([m for m in shortened if m is not None], dtype=long.schema["messages"])
    changed = long.filter(fits).with_columns(done.alias("messages"), pl.lit(value=True).alias(TOUCHED))
    return Sieved(changed, long.filter(~fits))


def _chunk(long: pl.DataFrame, section: Length, unit: Unit) -> Sieved:
    """Pieces of plain texts, and conversations."""
    plain = long["messages"].list.last().struct.field("role") == "text"
    texts = long.filter(plain)
    cut = [
        pieces(messages[-1]["content"], section.max or 0, unit.spans, near=_CHUNK_NEAR)
        for messages in texts["messages"].to_list()
    ]
    numbered = texts.with_columns(
        pl.Series("_pieces", cut, pl.List(pl.String)),
        pl.col("group").fill_null(pl.format("{}:{}:{}", "source", "offset", "part")),
    )
    rows = numbered.explode("_pieces", empty_as_null=True).with_columns(
        (pl.col("part") * PARTS + pl.int_range(1, pl.len() + 1).over("source", "offset", "part")).cast(RECORDS["part"]),
        pl.concat_list(
            pl.struct(
                pl.lit("text").alias("role"), pl.col("_pieces").alias("content"), pl.lit(value=True).alias("learn")
            )
        ).alias("messages"),
        pl.lit(value=True).alias(TOUCHED),
    )
    return Sieved(rows.select(long.columns), long.filter(~plain))


def build(section: Length, tools: Tools) -> Rows:
    """For `pakar.prepare.operators.build`.

    Raises:
        RecipeError: the section asks for cuts that cannot be made.
    """
    if section.max is not None and section.max < section.min:
        raise RecipeError(f"length: max is {section.max}, less than min, {section.min}: no row can pass",
                          next_step="raise max or lower min.")  # fmt: skip
    if section.over == "chunk" and section.of != "row":
        raise RecipeError(f"length: over: chunk cuts plain texts, which have no {section.of}",
                          next_step="write of: row, or over: truncate.")  # fmt: skip
    unit = unit_of(section, tools)
    return Rows(lambda batch: limit_length(batch, section, unit))
