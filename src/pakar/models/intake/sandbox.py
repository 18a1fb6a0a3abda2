"""Run as a program: render a template (JSON text on stdin) with bounded memory and time; print `{"refused": why}`.

Imports nothing of Pakar and of other libraries only Jinja, so that it starts in a tenth of a second.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateError, TemplateSyntaxError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

MEMORY = 2**30
"""Bytes of address space; Python and Jinja need a tenth of it."""

LONGEST = 2**20
"""Letters that may be written for a conversation of a few words."""

ASKED = {"role": "user", "content": "Is it late?"}
ANSWERED = {"role": "assistant", "content": "A little."}
ASIDE = {"role": "system", "content": "Be brief."}
CONVERSATIONS = (
    [ASKED],
    [ASKED, ANSWERED],
    [ASIDE, ASKED, ANSWERED, ASKED],
    [*[ASKED, ANSWERED] * 8, ASKED],
)


class Generation(Extension):
    """Accepts `{% generation %}`, with which templates mark what the assistant writes."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The block's body as it stands."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def environment() -> ImmutableSandboxedEnvironment:
    """The sandbox as transformers sets it up."""
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    made.filters["tojson"] = lambda value, **how: json.dumps(value, ensure_ascii=False, **how)
    made.globals["raise_exception"] = _raise
    made.globals["strftime_now"] = datetime.now(tz=UTC).strftime
    return made


def refused(template: str) -> str:
    """Why a template is refused; empty: it may be used."""
    try:
        tree = environment().parse(template)
        compiled = environment().from_string(template)
    except (TemplateSyntaxError, RecursionError, ValueError) as error:
        return f"it cannot be parsed: {error}"
    return _reaching_out(tree) or next(filter(None, (_rendered(compiled, talk) for talk in CONVERSATIONS)), "")


def _reaching_out(tree: nodes.Template) -> str:
    """What no template needs, also where rendering might not come by."""
    if found := next(tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)), None):
        return f"line {found.lineno} reads another file"
    if hidden := next((node for node in tree.find_all(nodes.Filter) if node.name == "attr"), None):
        return f"line {hidden.lineno} hides an attribute's name in the filter attr"
    attributes = ((node.lineno, node.attr) for node in tree.find_all(nodes.Getattr))
    items = ((n.lineno, n.arg.value) for n in tree.find_all(nodes.Getitem) if isinstance(n.arg, nodes.Const))
    for line, name in chain(attributes, items):
        if str(name).startswith("__"):
            return f"line {line} reaches for {name}"
    return ""


def _rendered(template: jinja2.Template, conversation: list[dict[str, str]]) -> str:
    written = 0
    try:
        pieces = template.generate(messages=conversation, tools=None, documents=None, add_generation_prompt=True,
                                   bos_token="<s>", eos_token="</s>", pad_token="", unk_token="")  # fmt: skip # noqa: S106
        for piece in pieces:
            written += len(piece)
            if written > LONGEST:
                return f"it writes more than {LONGEST:,} letters for a conversation of a few words"
    except SecurityError as error:
        return f"it leaves the sandbox: {error}"
    except (MemoryError, OverflowError, RecursionError) as error:
        return f"it needs too much: {type(error).__name__}"
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError, IndexError, ArithmeticError):
        return ""  # it does not suit this conversation; whether it suits the data shows when it is used
    return ""


def _raise(message: str) -> None:
    raise TemplateError(message)


def _bound(seconds: int) -> None:
    """Let the system end this process when it takes more than it is given; Windows has no such limits."""
    try:
        import resource  # noqa: PLC0415
    except ImportError:
        return
    for kind, most in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, 0)):
        hard = resource.getrlimit(kind)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with suppress(ValueError, OSError):  # macOS knows the limit of memory but does not take it
            resource.setrlimit(kind, (allowed, allowed))


def main() -> None:
    """Read the template, bound this process, look and tell."""
    template = json.load(sys.stdin)
    _bound(int(sys.argv[1]))
    why = refused(template)
    sys.stdout.write(json.dumps({"refused": why}))


if __name__ == "__main__":
    main()
