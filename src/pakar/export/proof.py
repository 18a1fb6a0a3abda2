"""Proof that what was written is what was trained: the same logits on real prompts, and the same prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from transformers import PreTrainedModel

from pakar import examples, progress
from pakar.conversation import Conversation, Message, Split
from pakar.errors import QualityError
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
        stored: The model as trained against the one in the files that were written, read back from there.
        reread: Of GGUF: the weights in the file, as transformers computes with it; None where it cannot read all of it.
        prompts_alike: Of the examples, how many become the same ids with the tokenizer's own chat template, as programs other
            than Pakar apply it.
    """

    examples: int
    merged: Difference | None
    stored: Difference | None
    reread: Difference | None
    prompts_alike: int

    def as_json(self) -> dict[str, Any]:
        """For files and `--json`."""
        found = {"merged": self.merged, "stored": self.stored, "reread": self.reread}
        compared = {name: one and one._asdict() for name, one in found.items()}
        return {"examples": self.examples, "prompts_alike": self.prompts_alike, **compared}


Write = Callable[[PreTrainedModel], Iterator[PreTrainedModel]]
"""Writes a merged model, and gives it as others read it from the files, in one way or in several."""


def conversations(run: Run) -> list[Conversation]:
    """Examples of the validation and test splits, in their fixed order, and fixed ones."""
    splits: tuple[Split, ...] = ("validation", "test")
    directories = [run.examples_dir(name) for name in splits]
    found = (islice(examples.read(each), EXAMPLES // 2) for each in directories if any(each.glob("*.parquet")))
    talks = [example.messages for example in chain.from_iterable(found)]
    return [*talks, *_FIXED]


def of_adapter(prompts: Renderer, talks: Sequence[Conversation]) -> Proof:
    """Of what is handed on as it is, only the prompts are looked at."""
    return Proof(len(talks), None, None, None, alike(prompts, talks))


def prove(directory: Path, base: BaseModel, *, prompts: Renderer, talks: Sequence[Conversation], storage: Storage, write: Write) -> Proof:  # fmt: skip
    """Merge, write, read back, and compare with the model as trained.

    Raises:
        QualityError: what was read is not the model that was trained; see `merge.TOLERANCES`.
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
    written = write(model)
    del model  # so that `write` can let go of it before it loads what it wrote
    stored_logits = merge.logits(next(written), rows)
    stored = merge.compare(before, stored_logits)
    merge.check(stored, storage)
    again = next(written, None)
    reread = None if again is None else merge.compare(stored_logits, merge.logits(again, rows))
    if reread is not None:
        _check_reread(reread)
    return Proof(len(talks), whole, stored, reread, alike(prompts, talks))


def _check_reread(found: Difference) -> None:
    """The same weights, computed with by another program's reading of the settings: only the last digits may differ."""
    try:
        merge.check(found, "float32")
    except QualityError as error:
        raise QualityError(f"transformers computes something else from the file that was written: {error.what}",
                           next_step="this is a fault in Pakar or in transformers; please report it, and export with --as merged meanwhile.") from None  # fmt: skip


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
