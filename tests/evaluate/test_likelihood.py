from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from pakar.conversation import Conversation, Message
from pakar.evaluate import likelihood
from pakar.evaluate.likelihood import Likelihood
from pakar.evaluate.systems import System

from .conftest import small_split as split


def brute_force(system: System, conversation: Conversation) -> tuple[float, int]:
    """Each supervised token from its own forward pass over what stands before it."""
    ids, mask = (part[: system.context_tokens] for part in system.renderer.example(conversation))
    nats, tokens = 0.0, 0
    for place in range(1, len(ids)):
        if mask[place]:
            with torch.no_grad():
                logits = system.model(torch.tensor([ids[:place]])).logits[0, -1]
            nats -= torch.log_softmax(logits.double(), dim=-1)[ids[place]].item()
            tokens += 1
    return nats, tokens


def test_equals_one_forward_pass_per_token(system: System) -> None:
    conversations = [split()[place].messages for place in (0, 3, 9)]
    for found, conversation in zip(likelihood.measure(system, conversations), conversations, strict=True):
        nats, tokens = brute_force(system, conversation)
        assert found.nats == pytest.approx(nats, rel=1e-5)
        assert found.tokens == tokens


@pytest.mark.parametrize(("pass_tokens", "chunk"), [(1, 128), (200, 1), (4096, 128)])
def test_batch_size_padding_and_chunks_do_not_matter(
    system: System, pass_tokens: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversations = [example.messages for example in split()]
    alone = [likelihood.measure(system, [conversation])[0] for conversation in conversations]
    monkeypatch.setattr(likelihood, "PASS_TOKENS", pass_tokens)
    monkeypatch.setattr(likelihood, "CHUNK_TOKENS", chunk)
    for found, expected in zip(likelihood.measure(system, conversations), alone, strict=True):
        assert found.nats == pytest.approx(expected.nats, abs=1e-5 * expected.tokens)
        assert found._replace(nats=None) == expected._replace(nats=None)


def test_a_pass_keeps_within_its_tokens_and_a_big_vocabulary_makes_it_smaller(system: System) -> None:
    sequences = [part for e in split() for part in likelihood._sequences(system.renderer, e.messages, 96)]
    for batch in (batches := likelihood._batches(sequences, 200)):
        assert len(batch) * max(len(sequences[index].ids) for index in batch) <= 200
    assert sorted(index for batch in batches for index in batch) == list(range(len(sequences)))
    assert likelihood._pass_tokens(system.model) == 4096
    system.model.config.vocab_size = 262_144
    assert likelihood._pass_tokens(system.model) == 512


def test_only_answers_are_scored_and_the_end_of_turn_adds_a_token_but_no_bytes(system: System) -> None:
    answer = "Schlaf früh."
    (found,) = likelihood.measure(system, [(Message("user", "A long question?"), Message("assistant", answer))])
    assert found.tokens == len(system.renderer.ids(answer)) + 1
    assert found.bytes == len(answer.encode()) == 13


def test_all_answers_of_a_conversation_count(system: System) -> None:
    turns = (
        Message("user", "Sleep?"),
        Message("assistant", "Go."),
        Message("user", "Why?"),
        Message("assistant", "Är"),
    )
    (found,) = likelihood.measure(system, [turns])
    assert found.bytes == 3 + 3
    assert found.tokens == len(system.renderer.ids("Go.")) + len(system.renderer.ids("Är")) + 2


def test_a_cut_example_counts_the_bytes_that_were_scored(system: System) -> None:
    (found,) = likelihood.measure(system, [split()[-1].messages])
    ids, mask = (part[:96] for part in system.renderer.example(split()[-1].messages))
    seen = system.renderer.tokenizer.decode([i for i, scored in zip(ids, mask, strict=True) if scored])
    assert found.truncated
    assert found.bytes == len(str(seen).strip().encode()) < len(split()[-1].reference)
    assert found.tokens == sum(mask)


def test_a_cut_through_a_letter_does_not_count_it(system: System) -> None:
    question, answer = Message("user", "a"), Message("assistant", "日本")  # three tokens a letter in this tokenizer
    prompt = len(system.renderer.prompt((question,)))
    (found,) = likelihood.measure(replace(system, context_tokens=prompt + 4), [(question, answer)])
    assert (found.tokens, found.bytes) == (4, 3)


def test_a_long_text_is_scored_to_its_end_in_windows_as_training_cuts_it(system: System) -> None:
    text = "Schlaf tut gut. Go to bed at the same hour, and breathe out. " * 3
    small = replace(system, context_tokens=20)
    ids = system.renderer.example((Message("text", text),)).ids
    windows = [ids[start : start + 20] for start in range(0, len(ids), 20)]
    nats = 0.0
    for window in windows:
        with torch.no_grad():
            logits = torch.log_softmax(system.model(torch.tensor([window])).logits[0].double(), dim=-1)
        nats -= sum(logits[place - 1, window[place]].item() for place in range(1, len(window)))
    (found,) = likelihood.measure(small, [(Message("text", text),)])
    assert len(windows) > 3
    assert found.nats == pytest.approx(nats, rel=1e-5)
    assert found.tokens == len(ids) - len(windows)
    scored = (system.renderer.tokenizer.decode(window[1:], skip_special_tokens=True) for window in windows)
    assert found.bytes == sum(len(str(part).encode()) for part in scored)
    assert not found.truncated


def test_a_text_and_a_conversation_side_by_side_keep_their_order(system: System) -> None:
    small = replace(system, context_tokens=16)
    mixed = [split()[9].messages, (Message("text", "Go to bed at the same hour. " * 5),), split()[0].messages]
    alone = [likelihood.measure(small, [one])[0] for one in mixed]
    for found, expected in zip(likelihood.measure(small, mixed), alone, strict=True):
        assert found._replace(nats=None) == expected._replace(nats=None)
        assert found.nats == (expected.nats and pytest.approx(expected.nats, rel=1e-5))


def test_an_answer_that_does_not_fit_at_all_is_not_scored(system: System) -> None:
    found = likelihood.measure(replace(system, context_tokens=4), [split()[0].messages])
    assert found == [Likelihood(None, 0, 0, truncated=True)]


def test_without_a_start_token_the_first_token_is_not_scored(system: System) -> None:
    system.renderer.tokenizer.bos_token = None
    (found,) = likelihood.measure(system, [(Message("text", "Go to bed"),)])
    ids = system.renderer.ids("Go to bed")
    rest = str(system.renderer.tokenizer.decode(ids[1:]))
    assert (found.tokens, found.bytes, found.truncated) == (len(ids), len(rest), False)


def test_a_broken_model_gives_no_number_instead_of_nan(system: System) -> None:
    with torch.no_grad():
        next(system.model.parameters()).fill_(math.nan)
    (found,) = likelihood.measure(system, [split()[0].messages])
    assert found.nats is None
    assert found.tokens > 0
