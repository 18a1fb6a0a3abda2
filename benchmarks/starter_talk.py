"""What the model says: answers to everyday questions, unselected; free text, looked through for personal data; its speed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from pakar.conversation import Message
from pakar.engine import Completion
from pakar.engine.local import LocalEngine
from pakar.evaluate.systems import System
from pakar.models.base import BaseModel
from pakar.prepare import names
from pakar.prepare.personal.detectors import detectors
from pakar.prepare.personal.found import find_all
from pakar.recipe import Sampling

QUESTIONS = Path(__file__).parent / "starter_questions.txt"
ANSWER = Sampling(max_tokens=120, repetition_penalty=1.2)
REGIONS = ("US", "GB", "ID")


def ask(system: System, seed: int = 1) -> list[tuple[str, Completion]]:
    """Every question and its answer, greedily, in the order of the file."""
    questions = [line for line in QUESTIONS.read_text(encoding="utf-8").splitlines() if line.strip()]
    engine = LocalEngine(system.model, system.renderer, system.context_tokens)
    answers = engine.complete([(Message("user", question),) for question in questions], ANSWER, seed)
    return [*zip(questions, answers, strict=True)]


def transcript(asked: Sequence[tuple[str, Completion]]) -> str:
    """All of it as Markdown."""
    ended = sum(answer.stop_reason == "end" for _, answer in asked)
    head = (
        f"{len(asked)} questions, every answer as it came, greedy with a repetition penalty of {ANSWER.repetition_penalty} and at most "
        f"{ANSWER.max_tokens} tokens; {ended} ended by themselves.\n"
    )
    turns = [
        f"**{question}**\n\n> {' '.join(answer.text.split()) or '(nothing)'}{'' if answer.stop_reason == 'end' else ' […]'}\n"
        for question, answer in asked
    ]
    return "\n".join([head, *turns])


class Scan(NamedTuple):
    """What was found in freely sampled text: kind → how often, and what was found, for a person to judge."""

    tokens: int
    counts: Counter[str]
    examples: list[str]


@torch.no_grad()
def scan(system: System, tokens: int, *, rows: int = 40, seed: int = 1) -> Scan:
    """Sample text from nothing at temperature 1, and look for e-mail addresses, phone numbers and names of persons.

    Names of persons are told as they are: whether a name belongs to a private person, no program can say.
    """
    device = system.model.device
    renderer, generator = system.renderer, torch.Generator(device).manual_seed(seed)
    begin = renderer.tokenizer.bos_token_id
    first = begin if isinstance(begin, int) else renderer.end_id
    texts, done = list[str](), 0
    while done < tokens:
        ids = torch.full((rows, 1), first, device=device)
        cache = None
        for _ in range(min(system.context_tokens - 1, 255)):
            out = system.model(input_ids=ids[:, -1:], past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            drawn = torch.multinomial(out.logits[:, -1].float().softmax(-1), 1, generator=generator)
            ids = torch.cat([ids, drawn], dim=1)
        texts += renderer.tokenizer.batch_decode(ids[:, 1:].tolist(), skip_special_tokens=True)
        done += ids[:, 1:].numel()
    return _found(texts, done)


def _found(texts: Sequence[str], tokens: int) -> Scan:
    looking = detectors(["email", "phone"], REGIONS)
    personal = [(one.type, text[one.start : one.end]) for text in texts for one in find_all(text, looking)]
    spans = zip(texts, names.bundled().find(texts), strict=True)
    people = [("person name", text[span.start : span.end]) for text, found in spans for span in found]
    everything = [*personal, *people]
    return Scan(tokens, Counter(str(kind) for kind, _ in everything), [f"{kind}: {what}" for kind, what in everything])


class Speed(NamedTuple):
    """Seconds to load model and tokenizer in a process that has its libraries, and tokens written per second, one answer at a time."""

    load_seconds: float
    tokens_per_second: float


def speed(base: BaseModel, system: System, *, answers: int = 5) -> Speed:
    """The best of three loads; the mean of some answers of 100 tokens, after one to warm up."""
    loads = []
    for _ in range(3):
        started = time.perf_counter()
        base.load()
        base.tokenizer()
        loads.append(time.perf_counter() - started)
    model = system.model
    prompt = torch.tensor([system.renderer.prompt((Message("user", "How do I bake bread?"),))], device=model.device)
    rates = []
    for _ in range(answers + 1):
        started = time.perf_counter()
        written = model.generate(
            input_ids=prompt, max_new_tokens=100, min_new_tokens=100, do_sample=False, pad_token_id=0
        )  # type: ignore[operator]
        rates.append((written.shape[1] - prompt.shape[1]) / (time.perf_counter() - started))
    return Speed(min(loads), sum(rates[1:]) / answers)
