"""Chat in the terminal with the tuned model, the base model, or both side by side. Keeps nothing on disk."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pakar import recipe
from pakar.conversation import Conversation, Message
from pakar.engine import Engine
from pakar.engine.local import LocalEngine
from pakar.models import base as base_models
from pakar.models import origin, tuned
from pakar.models.prompt import renderer
from pakar.recipe import Sampling
from pakar.run import find

GREETING = (
    "You are talking to a language model, not to a person and not to a professional; what it says can be wrong.\n"
    "If someone is in danger, contact your local emergency number or a crisis line.\n"
    "/new starts over, /quit or Ctrl-D leaves."
)


PLAIN = Sampling(repetition_penalty=1.2)
"""For a base model without a recipe: small models get caught in loops without a penalty."""


@dataclass
class Speaker:
    """One system in the chat, with its own memory of the conversation."""

    name: str
    engine: Engine
    sampling: Sampling
    history: Conversation = field(default=())

    def answer(self, question: str, seed: int) -> Iterator[str]:
        """Stream the answer and remember it."""
        self.history = (*self.history, Message("user", question))
        said = ""
        for piece in self.engine.stream(self.history, self.sampling, seed):
            said += piece
            yield piece
        self.history = (*self.history, Message("assistant", said.strip()))


def of_run(name: str, runs_dir: Path, system: str) -> list[Speaker]:
    """The speakers of a run: `base`, `tuned` or `both`.

    Raises:
        UserError: there is no such run, or it has no finished model, or that was changed since.
    """
    run = find(name, runs_dir)
    model, sampling = run.model, run.recipe.evaluate.sampling
    base = base_models.find(model)
    context_tokens = min(model.context_tokens, base.context_limit())
    speakers = []
    if system in ("base", "both"):
        prompts = renderer(base.tokenizer(), model.system_prompt)
        speakers.append(Speaker("base", LocalEngine(base.load(), prompts, context_tokens), sampling))
    if system in ("tuned", "both"):
        directory = run.finished_model()
        prompts = tuned.prompt_renderer(directory, model.system_prompt)
        speakers.append(Speaker("tuned", LocalEngine(tuned.load(directory, base), prompts, context_tokens), sampling))
    return speakers


def of_base(name: str) -> list[Speaker]:
    """One speaker: a base model as it is."""
    local = Path(name).expanduser()
    section = recipe.Model(base=str(local.resolve()) if local.exists() and name != "starter" else name)
    base = base_models.find(section)
    context_tokens = min(section.context_tokens, base.context_limit())
    prompts = renderer(base.tokenizer(), str(origin.read(base.directory).get("system_prompt", "")))
    return [Speaker(base.name, LocalEngine(base.load(), prompts, context_tokens), PLAIN)]


def talk(speakers: list[Speaker], seed: int) -> None:
    """Read questions until the user leaves. Questions may also be piped in, one a line."""
    console = Console(highlight=False)
    if sys.stdin.isatty():
        console.print(GREETING, style="dim", markup=False)
    while (question := _read_question()) is not None:
        if question == "/new":
            for speaker in speakers:
                speaker.history = ()
        elif question:
            _reply(console, speakers, question, seed)


def _read_question() -> str | None:
    """The next line, or None when the user leaves."""
    try:
        line = input("you: " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return None
    return None if line in ("/quit", "/exit") else line


def _reply(console: Console, speakers: list[Speaker], question: str, seed: int) -> None:
    if not console.is_terminal and not sys.stdin.isatty():
        console.print(f"you: {question}", markup=False)
    if len(speakers) > 1 and console.is_terminal:
        _side_by_side(console, speakers, question, seed)
        return
    for speaker in speakers:
        console.print(f"{speaker.name}: ", end="", style="bold", markup=False)
        for piece in speaker.answer(question, seed):
            console.print(piece, end="", markup=False, soft_wrap=True)
        console.print()


def _side_by_side(console: Console, speakers: list[Speaker], question: str, seed: int) -> None:
    """Both answers in columns, filling up as they are written."""
    said = dict.fromkeys((speaker.name for speaker in speakers), "")

    def table() -> Table:
        columns = Table(expand=True, show_lines=False)
        for name in said:
            columns.add_column(name, ratio=1)
        columns.add_row(*(Text(words) for words in said.values()))
        return columns

    with Live(table(), console=console, refresh_per_second=12) as live:
        for speaker in speakers:
            for piece in speaker.answer(question, seed):
                said[speaker.name] += piece
                live.update(table())
