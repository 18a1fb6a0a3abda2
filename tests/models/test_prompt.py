from __future__ import annotations

import pytest

from pakar.conversation import Conversation, Message
from pakar.errors import RecipeError
from pakar.models.prompt import Renderer, renderer
from tests import tiny

TWO_TURNS: Conversation = (
    Message("user", "How can I sleep?"),
    Message("assistant", "Go to bed."),
    Message("user", "And then?"),
    Message("assistant", "Atme ruhig."),
)


def supervised(prompts: Renderer, conversation: Conversation) -> str:
    ids, mask = prompts.example(conversation)
    return str(prompts.tokenizer.decode([i for i, m in zip(ids, mask, strict=True) if m]))


@pytest.fixture
def prompts() -> Renderer:
    return renderer(tiny.tokenizer())


def test_every_answer_and_its_end_mark_are_supervised_and_nothing_else(prompts: Renderer) -> None:
    assert supervised(prompts, TWO_TURNS) == "Go to bed.<|end|>Atme ruhig.<|end|>"


def test_a_prompt_in_use_is_the_very_beginning_of_the_training_sequence(prompts: Renderer) -> None:
    whole = prompts.example(TWO_TURNS).ids
    for answered in (0, 2):
        prompt = prompts.prompt(TWO_TURNS[: answered + 1])
        assert whole[: len(prompt)] == prompt


def test_ids_decode_to_what_the_template_writes(prompts: Renderer) -> None:
    turns = [message._asdict() for message in TWO_TURNS]
    rendered = prompts.tokenizer.apply_chat_template(turns, tokenize=False)
    assert prompts.tokenizer.decode(prompts.example(TWO_TURNS).ids) == rendered


def test_a_system_prompt_is_put_first_unless_there_is_one() -> None:
    prompts = renderer(tiny.tokenizer(), "Be kind.")
    assert "<|system|>Be kind.<|end|>" in prompts.tokenizer.decode(prompts.prompt(TWO_TURNS[:1]))
    own = (Message("system", "Be brief."), *TWO_TURNS[:1])
    assert "Be kind." not in prompts.tokenizer.decode(prompts.prompt(own))


def test_plain_text_is_supervised_whole_with_an_end(prompts: Renderer) -> None:
    assert supervised(prompts, (Message("text", "Sleep is good."),)) == "Sleep is good.<|end|>"


@pytest.mark.parametrize(
    "template",
    [
        None,  # no template: question and answer in plain words
        "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}<|end|>\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}",
        "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}",
    ],
)  # fmt: skip
def test_any_template_teaches_to_stop_exactly_once_per_answer(template: str | None) -> None:
    prompts = renderer(tiny.tokenizer(template))
    ids, mask = prompts.example(TWO_TURNS)
    assert sum(i == prompts.end_id and m == 1 for i, m in zip(ids, mask, strict=True)) == 2
    assert (ids[-1], mask[-1]) == (prompts.end_id, 1)
    assert "Go to bed." in supervised(prompts, TWO_TURNS)
    assert "sleep" not in supervised(prompts, TWO_TURNS)


def test_a_template_that_rewrites_earlier_turns_is_refused() -> None:
    template = "{{ messages | length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(RecipeError, match="changes what came before"):
        renderer(tiny.tokenizer(template))


def test_the_fingerprint_follows_template_system_prompt_and_vocabulary(prompts: Renderer) -> None:
    assert prompts.fingerprint == renderer(tiny.tokenizer()).fingerprint
    assert prompts.fingerprint != renderer(tiny.tokenizer(), "Be kind.").fingerprint
    assert prompts.fingerprint != renderer(tiny.tokenizer("Chat" + tiny.TEMPLATE)).fingerprint
