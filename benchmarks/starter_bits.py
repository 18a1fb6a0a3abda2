"""Bits per byte of running text: the model's, those of `xz -9e`, and those of a 5-gram model over the same tokens."""

from __future__ import annotations

import lzma
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import yaml

from benchmarks import five_gram
from benchmarks.five_gram import FiveGram
from pakar.conversation import Message
from pakar.evaluate.likelihood import measure
from pakar.evaluate.systems import System
from pakar.models.prompt import Renderer
from pakar.prepare import sources
from pakar.recipe import Source


class Texts(NamedTuple):
    """What is measured on."""

    name: str
    texts: list[str]

    @property
    def bytes(self) -> int:
        return sum(len(text.encode()) for text in self.texts)


def texts_of(named: str, rows: int) -> Texts:
    """`NAME=SOURCE`, the source in YAML as in a recipe. Of questions and answers the answers are taken.

    Rows are picked evenly over the whole source, so that all of it is represented.
    """
    name, _, source = named.partition("=")
    found = [*words(source)]
    every = max(1, len(found) // rows) if rows else 1
    return Texts(name, found[::every][: rows or None])


def words(source: str) -> Iterator[str]:
    """The text, or the last message, of every row of a source."""
    for batch in sources.read(Source.model_validate(yaml.safe_load(source))):
        for messages in batch.kept["messages"].to_list():
            if said := messages[-1]["content"].strip():
                yield said


def of_model(system: System, texts: Texts) -> float:
    """Windows of the context lie side by side, and the end of each text is predicted too: an upper bound."""
    found = measure(system, [(Message("text", text),) for text in texts.texts])
    return sum(one.nats or 0.0 for one in found) / math.log(2) / sum(one.bytes for one in found)


def of_xz(texts: Texts) -> float:
    """All texts in one file, so that it can learn from one for the next."""
    whole = "\n\n".join(texts.texts).encode()
    return 8 * len(lzma.compress(whole, preset=9 | lzma.PRESET_EXTREME)) / len(whole)


def count_five_grams(source: str, renderer: Renderer, characters: int) -> FiveGram:
    """From the first so many characters of a source."""
    taken: list[str] = []
    size = 0
    for text in words(source):
        taken.append(text)
        size += len(text)
        if size >= characters:
            break
    return five_gram.count([_ids(renderer, text) for text in taken], renderer.end_id, len(renderer.tokenizer))


def of_five_gram(model: FiveGram, renderer: Renderer, texts: Texts) -> float:
    """Each text from its beginning to its end."""
    nats = sum(model.nats(_ids(renderer, text), renderer.end_id) for text in texts.texts)
    return nats / math.log(2) / texts.bytes


def _ids(renderer: Renderer, text: str) -> Sequence[int]:
    return [*renderer.ids(text), renderer.end_id]
