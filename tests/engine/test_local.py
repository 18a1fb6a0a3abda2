from __future__ import annotations

import pytest

from pakar.conversation import Conversation, Message
from pakar.engine.local import LocalEngine
from pakar.models.prompt import Renderer, renderer
from pakar.recipe import Sampling
from tests import tiny

QUESTION: Conversation = (Message("user", "How can I sleep?"),)
OTHER: Conversation = (Message("user", "Wie schläft man besser? Atme ruhig aus."),)


@pytest.fixture(scope="module")
def prompts() -> Renderer:
    return renderer(tiny.tokenizer())


@pytest.fixture(scope="module")
def engine(prompts: Renderer) -> LocalEngine:
    return LocalEngine(tiny.model().train(mode=False), prompts, context_tokens=96)


def test_an_answer_does_not_depend_on_its_neighbours_in_the_batch(engine: LocalEngine) -> None:
    together = engine.complete([QUESTION, OTHER], Sampling(max_tokens=12), seed=1)
    alone = [engine.complete([q], Sampling(max_tokens=12), seed=1)[0] for q in (QUESTION, OTHER)]
    assert together == alone


def test_the_stream_says_the_same_as_the_whole_answer(engine: LocalEngine) -> None:
    whole = engine.complete([QUESTION], Sampling(max_tokens=12), seed=1)[0]
    assert "".join(engine.stream(QUESTION, Sampling(max_tokens=12), seed=1)).strip() == whole.text


def test_drawn_answers_repeat_with_their_seed_and_differ_between_seeds(engine: LocalEngine) -> None:
    sampling = Sampling(max_tokens=12, temperature=1.0)
    said = [engine.complete([QUESTION], sampling, seed=seed)[0].text for seed in (1, 1, 2)]
    assert said[0] == said[1] != said[2]


def test_an_answer_that_reaches_the_limit_is_told_from_one_that_ends(engine: LocalEngine) -> None:
    cut = engine.complete([QUESTION], Sampling(max_tokens=3), seed=1)[0]
    assert (cut.stop_reason, cut.answer_tokens) == ("length", 3)


def test_a_long_conversation_loses_its_oldest_turns_and_says_so(engine: LocalEngine, prompts: Renderer) -> None:
    turns = [m for n in range(9) for m in (Message("user", f"Question {n}?"), Message("assistant", "So."))]
    done = engine.complete([(*turns, *QUESTION)], Sampling(max_tokens=4), seed=1)[0]
    assert done.prompt_cut
    assert len(prompts.prompt(QUESTION)) < done.prompt_tokens <= 48
    assert not engine.complete([QUESTION], Sampling(max_tokens=4), seed=1)[0].prompt_cut


def test_prompt_and_answer_never_pass_the_context(engine: LocalEngine) -> None:
    long = (Message("user", "Sleep. " * 40),)
    done = engine.complete([long], Sampling(max_tokens=90), seed=1)[0]
    assert done.prompt_cut
    assert done.prompt_tokens + done.answer_tokens <= 96
