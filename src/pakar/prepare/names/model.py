"""Any Hugging Face token-classification model with a person class as a name recogniser. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoModelForTokenClassification, PreTrainedTokenizerFast

from pakar import recipe
from pakar.errors import RecipeError
from pakar.models import base, loading
from pakar.prepare.names.spans import NameRecogniser, Span

PERSON = frozenset({"PER", "PERSON"})
"""Classes that count as a person, without the prefix that tells the place in the name (B-, I-, E-, S-, L-, U-)."""

LONGEST = 512
"""Most tokens of a window, for models that say nothing of a limit."""

OVERLAP = 4
"""One token in so many of a window is read again in the next, so that no name is seen only at an edge."""

BATCH = 16


class Word(NamedTuple):
    """A word, whether the model takes it for (the beginning of) a person's name, and how far inside its window it stands."""

    span: Span
    person: bool
    begins: bool
    margin: int


class ModelRecogniser:
    """Labels the first piece of every word, as such models are trained to, and joins neighbouring words of a person."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._labels = {int(number): str(label) for number, label in model.config.id2label.items()}
        self._window = _window(model, tokenizer)

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """For each text its names in order."""
        words: list[dict[int, Word]] = [{} for _ in texts]
        for number, word in self._words([(n, text) for n, text in enumerate(texts) if text.strip()]):
            seen = words[number].get(word.span.start)
            if seen is None or word.margin > seen.margin:
                words[number][word.span.start] = word
        return [_join(text, sorted(of_text.values())) for text, of_text in zip(texts, words, strict=True)]

    def _words(self, texts: Sequence[tuple[int, str]]) -> Iterator[tuple[int, Word]]:
        """The words of every window, each with the number of its text."""
        if not texts:
            return
        encoded = self._tokenizer(
            [text for _, text in texts],
            truncation=True,
            max_length=self._window,
            stride=self._window // OVERLAP,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        origin = encoded.pop("overflow_to_sample_mapping")
        offsets = encoded.pop("offset_mapping")
        order = sorted(range(len(origin)), key=lambda window: len(offsets[window]))
        for at in range(0, len(order), BATCH):
            batch = order[at : at + BATCH]
            inputs = self._tokenizer.pad(
                {name: [rows[w] for w in batch] for name, rows in encoded.items()}, return_tensors="pt"
            )
            labels = self._predict(inputs)
            for window, numbers in zip(batch, labels, strict=True):
                for word in self._window_words(encoded.word_ids(window), offsets[window], numbers):
                    yield texts[origin[window]][0], word

    def _predict(self, inputs: Any) -> list[list[int]]:
        with torch.inference_mode():
            logits = self._model(**{name: rows.to(self._model.device) for name, rows in inputs.items()}).logits
        numbers: list[list[int]] = logits.argmax(-1).tolist()
        return numbers

    def _window_words(
        self, word_ids: Sequence[int | None], offsets: Sequence[tuple[int, int]], numbers: Sequence[int]
    ) -> Iterator[Word]:
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for token, word in enumerate(word_ids):
            if word is not None:
                first.setdefault(word, token)
                last[word] = token
        for word, token in first.items():
            prefix, kind = _split(self._labels[numbers[token]])
            span = Span(offsets[token][0], offsets[last[word]][1])
            yield Word(span, kind in PERSON, prefix in {"B", "S", "U"}, min(token, len(offsets) - 1 - last[word]))


def load(name_or_path: str) -> NameRecogniser:
    """The recogniser of a model: a local directory in Hugging Face layout, or a hub id.

    Weights must be safetensors; code that comes with a model is not run.

    Raises:
        RecipeError: The model is not there, has no person class, or its tokenizer cannot tell where its pieces stand.
    """
    found = _find(name_or_path)
    tokenizer = found.tokenizer()
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise RecipeError(
            f"The tokenizer of {name_or_path!r} does not tell where its pieces stand in the text.",
            next_step="choose a model with a tokenizer.json.",
        )
    model = loading.read(AutoModelForTokenClassification, found.directory)
    _check_labels(name_or_path, model.config.id2label)
    return ModelRecogniser(model.to(base.device()), tokenizer)


def _find(name_or_path: str) -> base.BaseModel:
    path = Path(name_or_path).expanduser()
    try:
        return base.locate(recipe.Model(base=str(path.resolve()) if path.is_dir() else name_or_path))
    except RecipeError as error:
        raise RecipeError(
            error.what.replace("model.base: ", "The model for names: "),
            next_step="give a token-classification model with safetensors: its directory or its hub id.",
        ) from None


def _check_labels(name: str, labels: Mapping[int, str]) -> None:
    if not any(_split(label)[1] in PERSON for label in labels.values()):
        raise RecipeError(
            f"The model {name!r} has no class for people: its labels are {', '.join(map(str, labels.values()))}; "
            "expected PER or PERSON, alone or after B- and I-.",
            next_step="choose a model for named entities, such as dbmdz/bert-large-cased-finetuned-conll03-english.",
        )


def _split(label: str) -> tuple[str, str]:
    """Prefix and class: ("B", "PER") from B-PER, ("", "PERSON") from PERSON."""
    prefix, dash, kind = label.upper().replace("_", "-").partition("-")
    return (prefix, kind) if dash and len(prefix) == 1 else ("", label.upper())


def _window(model: Any, tokenizer: PreTrainedTokenizerFast) -> int:
    """Tokens of a window."""
    positions = getattr(model.config, "max_position_embeddings", None) or LONGEST
    return int(min(positions, tokenizer.model_max_length, LONGEST))


def _join(text: str, words: Sequence[Word]) -> list[Span]:
    """Neighbouring words of a person as one span; a word that begins a name starts a new one."""
    spans: list[Span] = []
    inside = False
    for word in words:
        if word.person and inside and not word.begins and "\n" not in text[spans[-1].end : word.span.start]:
            spans[-1] = Span(spans[-1].start, word.span.end)
        elif word.person:
            spans.append(word.span)
        inside = word.person
    return [trimmed for span in spans if (trimmed := _trim(text, span)).start < trimmed.end]


def _trim(text: str, span: Span) -> Span:
    """Without blanks and marks at the edges."""
    start, end = span
    while start < end and not text[start].isalnum():
        start += 1
    while end > start and not text[end - 1].isalnum():
        end -= 1
    return Span(start, end)
