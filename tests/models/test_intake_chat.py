from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment
from transformers.utils.chat_template_utils import _compile_jinja_template, render_jinja_template

from pakar.models import intake
from pakar.models.intake import chat, sandbox
from pakar.models.template import PLAIN_TEMPLATE
from tests import tiny

CHATML = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}"
    "{%- if message.role == 'assistant' %}{% generation %}{{ message.content }}{% endgeneration %}"
    "{%- else %}{{ message.content }}{% endif %}{{ '<|im_end|>' }}\n{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
STRICT = (
    "{{ bos_token }}{%- set ns = namespace(found=false, system='') %}"
    "{%- if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{%- for message in messages %}{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{%- endif %}{%- if loop.last %}{% continue %}{% endif %}"
    "{{ message['content'] | trim + eos_token }}{%- set ns.found = true %}{% endfor %}"
    "{{ strftime_now('%d %b %Y') }}{{ tools | tojson(indent=2) if tools is not none }}{{ messages[1:] | length }}"
)
NEEDS_TOOLS = "{% for tool in tools %}{{ tool.function.name }}{% endfor %}"
REAL = [tiny.TEMPLATE, PLAIN_TEMPLATE, CHATML, STRICT, NEEDS_TOOLS]

REACHING = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}",
    "{{ messages.__init__.__globals__ }}",
    "{{ ''|attr('__class__')|attr('__mro__') }}",
    "{{ ''|attr('__cl' ~ 'ass__')|attr('__mro__')|list }}",
    "{% if messages|length > 10**6 %}{{ raise_exception.__globals__['os'].system('true') }}{% endif %}",
    "{{ self.__init__.__globals__.__builtins__ }}",
    "{{ cycler.__init__.__globals__.os.popen('touch canary').read() }}",
    "{{ lipsum.__globals__['os'].system('touch canary') }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ '%s'.__mod__ }}",
    "{% set _ = messages.append(1) %}",
    "{% set _ = messages[0].update({'role': 'x'}) %}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% from 'os' import system %}",
    "{% extends 'base.html' %}",
    "{% if false %}{% include messages[0].content %}{% endif %}",
]
EXHAUSTING = [
    "{% for i in range(10**9) %}x{% endfor %}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{{ 'x' * 10**10 }}",
    "{{ 'x' * 10**7 }}",
    "{{ '%9999999999d' % 1 }}",
    "{{ '%99999999d' | format(1) }}",
    "{{ 'x' | center(10**11) }}",
    "{{ 9 ** (9 ** (9 ** 9)) }}",
    "{% macro again() %}{{ again() }}{{ again() }}{% endmacro %}{{ again() }}",
    "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x|length }}",
]
BROKEN = ["{% for x in %}", "{{", "{% endif %}", "{{ " + "(" * 5_000 + " }}"]


@pytest.mark.parametrize("template", REAL)
def test_templates_as_models_have_them_pass(template: str) -> None:
    assert chat._refused(template) == ""


@pytest.mark.parametrize("template", REACHING)
def test_templates_that_reach_outside_are_refused(
    template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert chat._refused(template) != ""
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("template", EXHAUSTING)
def test_templates_without_end_or_measure_are_ended(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "SECONDS", 1)
    assert any(
        word in chat._refused(template) for word in ("does not end", "needs too much", "writes more", "MemoryError")
    )


@pytest.mark.parametrize("template", BROKEN)
def test_templates_that_cannot_be_parsed_are_refused(template: str) -> None:
    assert "cannot be parsed" in chat._refused(template)


def test_a_template_is_found_wherever_a_tokenizer_takes_it_from(tiny_base: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(tiny_base, tmp_path / "model"))
    bad = "{% include 'x' %}"
    (model / "chat_template.jinja").write_text(bad)
    (model / "additional_chat_templates").mkdir()
    (model / "additional_chat_templates" / "tool_use.jinja").write_text(bad)
    path = model / "tokenizer_config.json"
    config = json.loads(path.read_text())
    places = {"chat_template.jinja", "additional_chat_templates/tool_use.jinja"}
    for own, key in (
        (bad, "chat_template"),
        ([{"name": "default", "template": CHATML}, {"name": "rag", "template": bad}], "chat_template.1"),
        ({"default": bad}, "chat_template.default"),
        ([3], "chat_template.0"),
        (3, "chat_template"),
    ):
        path.write_text(json.dumps(config | {"chat_template": own}))
        found = [(one.file, one.key) for one in intake.findings(model)]
        assert found == [*((place, "") for place in sorted(places, reverse=True)), ("tokenizer_config.json", key)]


def test_a_template_has_a_largest_size(tiny_base: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(tiny_base, tmp_path / "model"))
    (model / "chat_template.jinja").write_text("x" * 300_000)
    assert "300,000 bytes; expected at most 262,144" in str(intake.findings(model)[0])


def test_transformers_renders_in_the_sandbox_that_templates_are_tried_in() -> None:
    theirs = _compile_jinja_template(CHATML).environment
    ours = sandbox.environment()
    assert isinstance(theirs, ImmutableSandboxedEnvironment)
    assert type(theirs) is type(ours)
    assert set(theirs.globals) == set(ours.globals)
    assert set(theirs.filters) == set(ours.filters)
    assert (theirs.trim_blocks, theirs.lstrip_blocks) == (ours.trim_blocks, ours.lstrip_blocks)


@pytest.mark.parametrize("template", [tiny.TEMPLATE, CHATML])
def test_what_is_tried_is_what_transformers_will_write(template: str) -> None:
    for talk in sandbox.CONVERSATIONS:
        known: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True}
        theirs: Any = render_jinja_template([talk], chat_template=template, **known)
        ours = sandbox.environment().from_string(template).render(messages=talk, **known)
        assert [ours] == theirs[0]
