"""An example as the model will see it: its tokens as text, and which of them it learns to write."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase


class Segment(NamedTuple):
    """A run of tokens of one kind.

    Attributes:
        text: As it reads.
        learnt: The model is trained to write it.
        special: A single mark of the template or the tokenizer.
    """

    text: str
    learnt: bool
    special: bool


def segments(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], mask: Sequence[int]) -> list[Segment]:
    """The tokens of an example in runs; marks stand alone.

    Args:
        tokenizer: The base model's.
        ids: Token ids.
        mask: 1 where a token is trained on; as long as `ids`.
    """
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special} | {*tokenizer.all_special_ids}
    runs = itertools.groupby(zip(ids, mask, strict=True), lambda one: (one[1], one[0] if one[0] in special else None))
    found: list[Segment] = []
    for (learnt, mark), tokens in runs:
        run = [token for token, _ in tokens]
        parts = [[token] for token in run] if mark is not None else [run]
        found += [
            Segment(str(tokenizer.decode(part, clean_up_tokenization_spaces=False)), bool(learnt), mark is not None)
            for part in parts
        ]
    return found
