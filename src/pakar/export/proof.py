"""Proof that what is handed on is what was trained: the same logits on real prompts, and the same prompts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel

from pakar import examples, progress
from pakar.conversation import Conversation, Message, Split
from pakar.export import gguf
from pakar.models import merge
from pakar.models.base import BaseModel
from pakar.models.merge import Difference, Storage
from pakar.models.prompt import Renderer
from pakar.run import Run

EXAMPLES = 16
"""Examples of the run that the proof looks at, and the most tokens of each."""
TOKENS = 128
LOGIT_BYTES = 2**29
"""Memory that the logits of one model may take: fewer tokens where the vocabulary is large."""

_FIXED: tuple[Conversation, ...] = (
    (Message("user", "What can you do?"), Message("assistant", "I answer questions about what I was trained on.")),
    (Message("user", "Name three numbers."), Message("assistant", "7, 42 and 1,024.\nIs that enough?")),
    (Message("user", "Apa kabar?"), Message("assistant", "Baik, terima kasih. Übrigens: c'est l'été. 你好!")),
)


class Proof(NamedTuple):
    """What was compared.

    Attributes:
        examples: Conversations of the run and fixed ones.
        merged: Adapter beside its base against both as one, in float32; None where nothing was merged.
        stored: The model as trained against the one that is written, rounded as it is stored.
        prompts_alike: Of the examples, how many become the same ids with the tokenizer's own chat template, as programs other
            than Pakar apply it.
    """

    examples: int
    merged: Difference | None
    stored: Difference | None
    prompts_alike: int

    def as_json(self) -> dict[str, Any]:
        """For files and `--json`."""
        merged, stored = (None if found is None else found._asdict() for found in (self.merged, self.stored))
        return {"examples": self.examples, "prompts_alike": self.prompts_alike, "merged": merged, "stored": stored}


def conversations(run: Run) -> list[Conversation]:
    """Examples of the validation and test splits, in their fixed order, and fixed ones."""
    splits: tuple[Split, ...] = ("validation", "test")
    directories = [run.examples_dir(name) for name in splits]
    found = (islice(examples.read(each), EXAMPLES // 2) for each in directories if any(each.glob("*.parquet")))
    talks = [example.messages for example in chain.from_iterable(found)]
    return [*talks, *_FIXED]


def prove(directory: Path, base: BaseModel, prompts: Renderer, talks: Sequence[Conversation], storage: Storage, *, for_gguf: bool) -> tuple[PreTrainedModel, Proof]:  # fmt: skip
    """The merged model with its weights rounded as they will be stored, and the proof that it is the one trained.

    Raises:
        QualityError: it is not; see `merge.TOLERANCES`.
    """
    trained = merge.as_trained(directory, base)
    rows = _rows(prompts, talks, _vocabulary(trained))
    before = merge.logits(trained, rows)
    is_adapter = not isinstance(trained, PreTrainedModel)
    del trained
    model = merge.merged(directory, base)
    whole = None
    if is_adapter:
        whole = merge.compare(before, merge.logits(model, rows))
        merge.check(whole, "float32")
    _round(model, storage, for_gguf=for_gguf)
    stored = merge.compare(before, merge.logits(model, rows))
    merge.check(stored, storage)
    return model, Proof(len(talks), whole, stored, alike(prompts, talks))


def alike(prompts: Renderer, talks: Sequence[Conversation]) -> int:
    """How many questions become the same ids with the tokenizer's own chat template.

    Pakar tokenises marks and contents apart; a tokenizer may join letters across the border.
    """
    tokenizer: Any = prompts.tokenizer
    same = 0
    for talk in talks:
        asked = talk[:-1] if talk[-1].role == "assistant" else talk
        if talk[-1].role == "text" or not asked:
            same += 1  # running text is never asked
            continue
        shown = prompts.with_system(asked)
        turns = [message.as_chat() for message in shown]
        ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)["input_ids"]
        same += int(list(ids) == prompts.prompt(asked))
    if same < len(talks):
        progress.warn(
            f"export: {len(talks) - same} of {len(talks)} prompts become other tokens in programs that apply the chat template "
            "to the whole text at once; answers there may differ a little from Pakar's"
        )
    return same


def _rows(prompts: Renderer, talks: Sequence[Conversation], vocabulary: int) -> list[list[int]]:
    """Ids of whole examples, cut to what fits."""
    room = LOGIT_BYTES // (4 * vocabulary)
    rows = []
    for rendered in prompts.examples(list(talks)):
        row = rendered.ids[: min(TOKENS, room)]
        if row:
            rows.append(row)
            room -= len(row)
    return rows


def _vocabulary(model: Any) -> int:
    return int(model.get_input_embeddings().weight.shape[0])


@torch.no_grad()
def _round(model: PreTrainedModel, storage: Storage, *, for_gguf: bool) -> None:
    if for_gguf:
        gguf.round_weights(model, storage)
        return
    for weight in model.parameters():
        weight.copy_(weight.to(getattr(torch, storage)))
