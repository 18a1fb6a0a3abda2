"""Does the tuned model end its answers? Asked once, after training, on a few validation questions.

A model that never saw its end token as something to learn talks on until it is cut off. The usual fault: the end token
serves as padding, too, and is masked with it. So the tokens that were trained on are looked at as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from transformers import GenerationConfig

from pakar import examples
from pakar.conversation import Conversation
from pakar.models.prompt import Renderer
from pakar.run import Run
from pakar.shards import TokenShards

QUESTIONS = 4
"""Validation questions that are answered, those with the shortest references among the first LOOKED_AT."""
LOOKED_AT = 64
MOST_TOKENS = 128
"""Longest answer; less where the references are shorter."""


class Stopping(NamedTuple):
    """How answers ended.

    Attributes:
        ended: Answers that ended with the end token.
        answers: Answers that were generated, greedily.
        tokens: Most tokens that an answer was given: twice the longest reference among them.
        taught: Share of the training sequences looked at that hold a supervised end token.
    """

    ended: int
    answers: int
    tokens: int
    taught: float

    def warning(self, end_token: str) -> str | None:
        """What is wrong, by its name; None if nothing."""
        if not self.answers:
            return None
        if not self.taught:
            return (
                f"the model is never taught to end its answers: no training sequence holds a supervised {end_token}. "
                "Rows that are cut at model.context_tokens lose their end: raise it, or let `length` cut or reject long rows."
            )
        if not self.ended:
            return (
                f"the model never ends its answers: none of {self.answers} answers to validation questions ended with {end_token} "
                f"within {self.tokens} tokens. More epochs or a higher learning rate help, if the training was short; "
                "else look at the answers with `pakar chat`."
            )
        return None


def noted(facts: Mapping[str, Any], found: Stopping, prompts: Renderer) -> dict[str, Any]:
    """Facts about a training with these; a warning is added to the one that may be there."""
    end_token = str(prompts.tokenizer.convert_ids_to_tokens(prompts.end_id))
    warnings = [warning for warning in (facts.get("warning"), found.warning(end_token)) if warning]
    return {**facts, "warning": " ".join(warnings) or None, "stopping": found._asdict()}


def look(run: Run, model: torch.nn.Module, prompts: Renderer, context_tokens: int) -> Stopping:
    """Answer a few validation questions greedily and see how the answers end.

    Args:
        run: Its validation split and training tokens are read.
        model: Trained, as it is in memory; its mode is put back.
        prompts: What it was trained with.
        context_tokens: Prompt and answer together are never longer.
    """
    taught = _taught(TokenShards(run.tokens_dir("train")), prompts.end_id)
    chosen = _questions(run, prompts, context_tokens)
    if not chosen:
        return Stopping(0, 0, 0, taught)
    limit = min(MOST_TOKENS, 2 * max(reference for _, reference in chosen))
    was_training = model.training
    model.eval()
    ended = sum(_ends(model, ids, prompts.end_id, min(limit, context_tokens - len(ids))) for ids, _ in chosen)
    model.train(was_training)
    return Stopping(ended, len(chosen), limit, taught)


def _taught(shards: TokenShards, end_id: int) -> float:
    looked_at = [shards[row] for row in range(0, len(shards), max(1, len(shards) // LOOKED_AT))]
    taught = sum(bool(((row.input_ids == end_id) & (row.loss_mask == 1)).any()) for row in looked_at)
    return taught / max(1, len(looked_at))


def _questions(run: Run, prompts: Renderer, context_tokens: int) -> list[tuple[list[int], int]]:
    """(Prompt, tokens of the reference answer) of the questions that are asked."""
    directory = run.examples_dir("validation")
    if not any(directory.glob("*.parquet")):
        return []
    talks = [example.messages for example in islice(examples.read(directory), LOOKED_AT)]
    found = [_question(talk, prompts) for talk in talks if talk[-1].role == "assistant" and len(talk) > 1]
    fitting = [(ids, reference) for ids, reference in found if len(ids) < context_tokens]
    return sorted(fitting, key=lambda one: one[1])[:QUESTIONS]


def _question(talk: Conversation, prompts: Renderer) -> tuple[list[int], int]:
    asked = prompts.prompt(talk[:-1])
    return asked, max(1, len(prompts.example(talk).ids) - len(asked))


@torch.no_grad()
def _ends(model: Any, prompt: Sequence[int], end_id: int, limit: int) -> bool:
    """Whether the greedy answer ends by itself within `limit` tokens."""
    ids = torch.tensor([[*prompt]], device=next(model.parameters()).device)
    form = model.get_input_embeddings().weight.dtype  # frozen weights may be in 16 bits beside trained ones in 32
    config = GenerationConfig(max_new_tokens=limit, do_sample=False, eos_token_id=end_id, pad_token_id=end_id)  # type: ignore[no-untyped-call]
    # Compiled layers would be compiled anew for every length of the cache.
    with (
        torch.autocast(ids.device.type, dtype=form, enabled=form != torch.float32),
        torch.compiler.set_stance("force_eager"),
    ):
        written = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)
    return end_id in written[0, len(prompt) :].tolist()
