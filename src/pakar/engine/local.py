"""The engine in this process: a transformers model on the CPU or the first GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Thread
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel, TextIteratorStreamer

from pakar.conversation import Conversation
from pakar.engine import Completion, StopReason
from pakar.models.base import device
from pakar.models.prompt import Renderer
from pakar.recipe import Sampling

ROOM_FOR_ANSWER = 64
"""Tokens that a prompt must leave free in the context."""


class LocalEngine:
    """Generates with the model given. Knows nothing of runs or files.

    Args:
        model: In evaluation mode.
        renderer: The one that the model was trained with.
        context_tokens: Prompt and answer together never pass this, so a long prompt leaves less room for the answer. One
            that leaves less than ROOM_FOR_ANSWER loses its oldest turns, then its beginning.
    """

    def __init__(self, model: PreTrainedModel, renderer: Renderer, context_tokens: int) -> None:
        self._model = model.to(device())  # type: ignore[arg-type]
        self._renderer = renderer
        self._context_tokens = context_tokens

    def complete(self, conversations: Sequence[Conversation], sampling: Sampling, seed: int) -> list[Completion]:
        """See `Engine`. Conversations with the same room for an answer run as one batch.

        That is the most tokens asked for, or what a long prompt leaves of the context.
        """
        fitted = [self._fit(conversation) for conversation in conversations]
        groups: dict[int, list[int]] = {}
        for row, (prompt, _) in enumerate(fitted):
            groups.setdefault(self._limit(prompt, sampling), []).append(row)
        torch.manual_seed(seed)
        done: dict[int, Completion] = {}
        for limit, rows in groups.items():
            written = self._generate([fitted[row][0] for row in rows], sampling, limit)
            done |= {row: self._completion(*fitted[row], ids) for row, ids in zip(rows, written, strict=True)}
        return [done[row] for row in range(len(fitted))]

    def stream(self, conversation: Conversation, sampling: Sampling, seed: int) -> Iterator[str]:
        """See `Engine`."""
        prompt, _ = self._fit(conversation)
        streamer = TextIteratorStreamer(self._renderer.tokenizer, skip_prompt=True, skip_special_tokens=True)
        torch.manual_seed(seed)
        failure: list[BaseException] = []

        def work() -> None:
            try:
                self._generate([prompt], sampling, self._limit(prompt, sampling), streamer=streamer)
            except BaseException as error:
                failure.append(error)
                streamer.end()  # type: ignore[no-untyped-call]

        thread = Thread(target=work, daemon=True)
        thread.start()
        yield from streamer
        thread.join()
        if failure:
            raise failure[0]

    def _limit(self, prompt: list[int], sampling: Sampling) -> int:
        """Most tokens of an answer to `prompt`."""
        return min(sampling.max_tokens, self._context_tokens - len(prompt))

    @torch.no_grad()
    def _generate(self, prompts: list[list[int]], sampling: Sampling, limit: int, **more: Any) -> list[list[int]]:
        """What is written behind each prompt, as one batch, padded on the left; pads are masked by length."""
        width = max(map(len, prompts))
        pads = torch.tensor([width - len(prompt) for prompt in prompts], device=self._model.device)
        ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts], device=self._model.device)
        drawn = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        config = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=limit,
            repetition_penalty=1.0,  # see _RepetitionPenalty
            eos_token_id=self._renderer.end_id,
            pad_token_id=self._pad_id(),
            **(drawn if sampling.temperature > 0 else {"do_sample": False}),
        )
        if sampling.repetition_penalty > 1:
            more["logits_processor"] = LogitsProcessorList([_RepetitionPenalty(sampling.repetition_penalty, pads)])
        generate: Any = self._model.generate
        seen = torch.arange(width, device=self._model.device) >= pads[:, None]
        output = generate(ids, attention_mask=seen.long(), generation_config=config, **more)
        return [row[width:] for row in output.tolist()]

    def _pad_id(self) -> int:
        """What `generate` writes behind an answer that has ended. `_completion` cuts at the first end, so any id will do."""
        pad = self._renderer.tokenizer.pad_token_id
        return int(pad) if isinstance(pad, int) else self._renderer.end_id

    def _completion(self, prompt: list[int], cut: bool, written: list[int]) -> Completion:
        ended = self._renderer.end_id in written
        ids = written[: written.index(self._renderer.end_id)] if ended else written
        text = self._renderer.tokenizer.decode(ids, skip_special_tokens=True)
        assert isinstance(text, str)  # noqa: S101 - narrows a type for the checker
        reason: StopReason = "end" if ended else "length"
        return Completion(text.strip(), reason, len(prompt), len(ids) + int(ended), prompt_cut=cut)

    def _fit(self, conversation: Conversation) -> tuple[list[int], bool]:
        """Prompt ids that leave room for an answer, and whether something had to be left out for it."""
        room = self._context_tokens - min(ROOM_FOR_ANSWER, self._context_tokens // 2)
        first = 1 if conversation[0].role == "system" else 0
        system, turns = conversation[:first], conversation[first:]
        while len(ids := self._renderer.prompt((*system, *turns))) > room and len(turns) > 2:
            turns = turns[2:]
        cut = len(ids) > room or len(system) + len(turns) < len(conversation)
        return (ids if len(ids) <= room else [ids[0], *ids[1 - room :]]), cut


class _RepetitionPenalty(LogitsProcessor):
    """Makes tokens less likely that stand in the prompt or the answer so far (Keskar et al. 2019). Pads do not count.

    Args:
        penalty: Positive scores are divided by it, negative ones multiplied.
        pads: How many pads stand before each prompt. [B]
    """

    def __init__(self, penalty: float, pads: torch.Tensor) -> None:
        self._penalty = penalty
        self._pads = pads

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores [B, V] after the penalty; `input_ids` are [B, T]."""
        real = torch.arange(input_ids.shape[1], device=input_ids.device) >= self._pads[:, None]
        ids = input_ids.where(real, input_ids[:, -1:])
        used = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, ids, value=True)
        less = torch.where(scores < 0, scores * self._penalty, scores / self._penalty)
        return torch.where(used, less, scores)  # type: ignore[return-value]
