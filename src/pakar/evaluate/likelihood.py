"""How likely a model finds the reference answers: teacher-forced negative log-likelihood (NLL), in nats per example.

Scored are the supervised tokens only: every assistant answer of the conversation with its end-of-turn token, but for
those that are only read, or all of a plain text. The prompt is read and never scored. The end-of-turn token counts in the NLL and among the tokens, but
carries no bytes. A conversation over the context is cut at its end; its bytes are those of the tokens that were scored.

A plain text over the context is cut into windows, side by side as in training (`prepare/tokenise.py`), and all of them
are scored. Each token is scored at most once: nothing slides, a window knows nothing of the one before it, and its first
token is read but not predicted, so that neither its nats nor its bytes count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from pakar import progress
from pakar.conversation import Conversation
from pakar.evaluate.systems import System
from pakar.models.prompt import Renderer

PASS_TOKENS = 4096
"""Most tokens in one forward pass, padding included."""
PASS_LOGITS = 2**27
"""Most logits in one forward pass, 512 MiB in float32: a vocabulary of 256k leaves room for 512 tokens."""
CHUNK_TOKENS = 128
"""Positions whose probabilities are normalised at once."""


class Likelihood(NamedTuple):
    """What one model makes of one example.

    Attributes:
        nats: Total NLL of the scored tokens; None if it is no finite number, or nothing was scored.
        tokens: Scored tokens, end of turn included. 0 if the prompt alone fills the context.
        bytes: UTF-8 bytes of the scored text.
        truncated: The end of the conversation did not fit into the context. Never true of a plain text.
    """

    nats: float | None
    tokens: int
    bytes: int
    truncated: bool


class _Sequence(NamedTuple):
    """An example, or one window of a text; `scored` is True at tokens whose probability counts. Both arrays: [T]."""

    ids: npt.NDArray[np.int32]
    scored: npt.NDArray[np.bool_]
    bytes: int
    truncated: bool


def measure(system: System, conversations: Sequence[Conversation]) -> list[Likelihood]:
    """The likelihood of every conversation, in order. Batching changes nothing but the last digits of float32."""
    parts = [_sequences(system.renderer, conversation, system.context_tokens) for conversation in conversations]
    sequences = [sequence for some in parts for sequence in some]
    nats = [0.0] * len(sequences)
    with progress.track(f"evaluate: likelihood, {system.name}", total=len(sequences)) as tracker:
        for batch in _batches(sequences, _pass_tokens(system.model)):
            totals = _forward(system.model, [sequences[index] for index in batch])
            for index, total in zip(batch, totals, strict=True):
                nats[index] = total
            tracker.advance(len(batch))
    in_order = iter(nats)
    return [_sum(some, [next(in_order) for _ in some]) for some in parts]


def _sum(parts: Sequence[_Sequence], nats: Sequence[float]) -> Likelihood:
    """The likelihood of one example from those of its windows."""
    tokens = sum(int(part.scored.sum()) for part in parts)
    known = math.fsum(nats) if tokens and all(map(math.isfinite, nats)) else None
    return Likelihood(known, tokens, sum(part.bytes for part in parts), any(part.truncated for part in parts))


def _sequences(renderer: Renderer, conversation: Conversation, context_tokens: int) -> list[_Sequence]:
    """One sequence of a conversation, cut at the context; as many as it takes of a plain text."""
    rendered = renderer.example(conversation)
    ids, scored = np.array(rendered.ids, dtype=np.int32), np.array(rendered.loss_mask, dtype=np.bool_)
    is_text = conversation[-1].role == "text"
    starts = range(0, len(ids), context_tokens) if is_text else range(1)
    found = []
    for start in starts:
        window, counts = ids[start : start + context_tokens], scored[start : start + context_tokens].copy()
        counts[:1] = False  # Nothing stands before the first token that could predict it.
        num_bytes = _decoded_bytes(renderer, window, counts, spaces=is_text)
        found.append(_Sequence(window, counts, num_bytes, truncated=not is_text and len(ids) > context_tokens))
    if sum(int(sequence.scored.sum()) for sequence in found) == sum(rendered.loss_mask):  # One, and nothing cut off.
        answers = (message.content for message in conversation if message.is_learnt)
        found = [found[0]._replace(bytes=sum(len(answer.encode()) for answer in answers))]
    return found


def _decoded_bytes(
    renderer: Renderer, ids: npt.NDArray[np.int32], scored: npt.NDArray[np.bool_], *, spaces: bool
) -> int:
    """UTF-8 bytes of the scored tokens' text; a letter that a cut goes through (1 to 3 bytes) is not counted.

    Spaces around the answers of a conversation are the template's, around a window of a text they are the text's.
    """
    edges = np.flatnonzero(np.diff(scored.astype(np.int8), prepend=0, append=0))
    total = 0
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        decoded = renderer.tokenizer.decode(ids[start:end].tolist(), skip_special_tokens=True)
        assert isinstance(decoded, str)  # noqa: S101 - narrows a type for the checker
        total += len((decoded if spaces else decoded.strip()).strip("\ufffd").encode())
    return total


def _pass_tokens(model: PreTrainedModel) -> int:
    """Most tokens in one forward pass of this model, by count and by the memory of its logits."""
    vocabulary = int(model.config.get_text_config().vocab_size)
    return min(PASS_TOKENS, max(PASS_LOGITS // vocabulary, 1))


def _batches(sequences: Sequence[_Sequence], pass_tokens: int) -> list[list[int]]:
    """Indices in batches of like length, the longest first: if memory does not suffice, that shows at once.

    A batch of B sequences, the longest of T tokens, keeps B·T within `pass_tokens`; a longer sequence stands alone.
    """
    by_length = sorted(range(len(sequences)), key=lambda index: (-len(sequences[index].ids), index))
    batches: list[list[int]] = []
    width = 0
    for index in by_length:
        if not batches or (len(batches[-1]) + 1) * width > pass_tokens:
            batches.append([])
            width = len(sequences[index].ids)
        batches[-1].append(index)
    return batches


@torch.no_grad()
def _forward(model: PreTrainedModel, batch: Sequence[_Sequence]) -> list[float]:
    """Total NLL in nats of each sequence. Pads stand on the right, so no real token's position or view changes."""
    width = max(len(sequence.ids) for sequence in batch)
    ids = torch.zeros((len(batch), width), dtype=torch.long)  # B T
    attended = torch.zeros_like(ids)
    for row, sequence in enumerate(batch):
        ids[row, : len(sequence.ids)] = torch.from_numpy(sequence.ids)
        attended[row, : len(sequence.ids)] = 1
    logits = model(
        input_ids=ids.to(model.device), attention_mask=attended.to(model.device), use_cache=False
    ).logits  # B T V
    return [_nats(logits[row], sequence) for row, sequence in enumerate(batch)]


def _nats(logits: torch.Tensor, sequence: _Sequence) -> float:
    """Sum over scored tokens t of -ln p(token t | tokens before t); the logits [T V] at t - 1 predict token t."""
    total = 0.0
    scored = np.flatnonzero(sequence.scored)
    for start in range(0, len(scored), CHUNK_TOKENS):
        positions = scored[start : start + CHUNK_TOKENS]
        targets = torch.from_numpy(sequence.ids[positions]).long().to(logits.device)
        predicted = logits[torch.from_numpy(positions - 1).to(logits.device)].float()
        total += functional.cross_entropy(predicted, targets, reduction="none").double().sum().item()
    return total
