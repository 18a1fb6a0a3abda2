"""The engine in this process: a transformers model on the CPU or the first GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Thread
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, TextIteratorStreamer

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
        """See `Engine`. All conversations run as one batch, padded on the left; pads are masked by length."""
        fitted = [self._fit(conversation) for conversation in conversations]
        prompts = [prompt for prompt, _ in fitted]
        width = max(map(len, prompts))
        ids = torch.zeros((len(prompts), width), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        torch.manual_seed(seed)
        written = self._generate(ids, mask, sampling)[:, width:]
        return [self._completion(prompt, cut, row.tolist()) for (prompt, cut), row in zip(fitted, written, strict=True)]

    def stream(self, conversation: Conversation, sampling: Sampling, seed: int) -> Iterator[str]:
        """See `Engine`."""
        prompt = torch.tensor([self._fit(conversation)[0]])
        streamer = TextIteratorStreamer(self._renderer.tokenizer, skip_prompt=True, skip_special_tokens=True)
        torch.manual_seed(seed)
        failure: list[BaseException] = []

        def work() -> None:
            try:
                self._generate(prompt, torch.ones_like(prompt), sampling, streamer=streamer)
            except BaseException as error:
                failure.append(error)
                streamer.end()  # type: ignore[no-untyped-call]

        thread = Thread(target=work, daemon=True)
        thread.start()
        yield from streamer
        thread.join()
        if failure:
            raise failure[0]

    @torch.no_grad()
    def _generate(self, ids: torch.Tensor, mask: torch.Tensor, sampling: Sampling, **more: Any) -> torch.Tensor:
        drawn = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        config = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=sampling.max_tokens,
            repetition_penalty=sampling.repetition_penalty,
            eos_token_id=self._renderer.end_id,
            pad_token_id=self._pad_id(),
            **(drawn if sampling.temperature > 0 else {"do_sample": False}),
        )
        generate: Any = self._model.generate
        output = generate(
            ids.to(self._model.device), attention_mask=mask.to(self._model.device), generation_config=config, **more
        )
        assert isinstance(output, torch.Tensor)  # noqa: S101 - narrows a type for the checker
        return output.cpu()

    def _pad_id(self) -> int:
        """What `generate` writes behind an answer that has ended. `_completion` cuts at the first end, so any id will do."""
        pad = self._renderer.tokenizer.pad_token_id
        return int(pad) if isinstance(pad, int) else self._renderer.end_id

    def _completion(self, prompt: list[int], cut: bool, written: list[int]) -> Completion:
        written = written[: self._context_tokens - len(prompt)]
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
