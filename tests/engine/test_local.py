from __future__ import annotations

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

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


@pytest.fixture(scope="module")
def short_engine(prompts: Renderer) -> LocalEngine:
    """A model that has no positions beyond its context, and never ends by itself."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=320, n_positions=96, n_embd=32, n_layer=2, n_head=2, initializer_range=0.3)
    model = GPT2LMHeadModel(config).train(mode=False)
    return LocalEngine(model, Renderer(prompts.tokenizer, end_id=1), context_tokens=96)


def test_answers_end_with_the_context_each_at_its_own_limit(short_engine: LocalEngine) -> None:
    asked = [QUESTION, OTHER, (Message("user", "Sleep. " * 40),), QUESTION]
    done = short_engine.complete(asked, Sampling(), seed=1)
    assert [d.prompt_tokens + d.answer_tokens for d in done] == [96] * 4
    assert {d.stop_reason for d in done} == {"length"}
    assert done == [short_engine.complete([q], Sampling(), seed=1)[0] for q in asked]
    assert done[0] == done[3]
    assert "".join(short_engine.stream(QUESTION, Sampling(), seed=1)).strip() == done[0].text


def test_a_long_prompt_takes_no_room_from_its_neighbours(short_engine: LocalEngine) -> None:
    done = short_engine.complete([QUESTION, (Message("user", "Sleep. " * 40),)], Sampling(max_tokens=60), seed=1)
    assert [d.answer_tokens for d in done] == [60, 96 - done[1].prompt_tokens]


def test_pads_are_no_used_tokens_to_the_repetition_penalty(prompts: Renderer) -> None:
    model = tiny.model().train(mode=False)
    with torch.no_grad():
        model.lm_head.weight[0] = model.lm_head.weight.mean(0) * 40  # The pad's id is often the likeliest token.
    engine = LocalEngine(model, prompts, context_tokens=96)
    sampling = Sampling(max_tokens=20, repetition_penalty=1.3)
    talks: list[Conversation] = [QUESTION, OTHER, *((Message("user", f"{n} " * n),) for n in range(1, 8))]
    alone = [engine.complete([talk], sampling, seed=1)[0] for talk in talks]
    assert engine.complete(talks, sampling, seed=1) == alone
    assert alone != [engine.complete([talk], Sampling(max_tokens=20), seed=1)[0] for talk in talks]


def test_the_repetition_penalty_is_the_usual_one(engine: LocalEngine, prompts: Renderer) -> None:
    prompt = prompts.prompt(QUESTION)
    model = tiny.model().train(mode=False)
    usual = model.generate(
        torch.tensor([prompt]), max_new_tokens=12, do_sample=False, repetition_penalty=1.3, eos_token_id=prompts.end_id
    )
    said = engine.complete([QUESTION], Sampling(max_tokens=12, repetition_penalty=1.3), seed=1)[0]
    assert isinstance(usual, torch.Tensor)
    expected = prompts.tokenizer.decode(usual[0, len(prompt) :], skip_special_tokens=True)
    assert said.text == str(expected).strip()
