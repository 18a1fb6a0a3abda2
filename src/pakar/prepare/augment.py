"""Re-phrase questions of training rows by rules, after the split. The answers stay, and the new rows are marked.

A rule is a pattern for the beginning of an English question and the phrases that may stand in its place. Rules keep the
meaning; where no rule fits, no row is made. A re-phrasing that is already asked anywhere in the data, in whatever
split, is not made: it could carry a test question into training.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set

import polars as pl

from pakar import text
from pakar.conversation import Message
from pakar.recipe import Rephrase

RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"how (?:can|do|could|should) I (?P<rest>[^?]+)\?", (
        "What are ways to {rest}?", "How exactly can I {rest}?", "Could you explain how to {rest}?",
        "What is a good way to {rest}?", "Can you tell me how to {rest}?", "What would help me {rest}?",
    )),
    (r"what (?:can|should|could) I do (?P<rest>[^?]+)\?", (
        "What are good things to do {rest}?", "What exactly can I do {rest}?", "Could you tell me what to do {rest}?",
    )),
    (r"what (?:is|are) (?P<rest>[^?,]+)\?", (
        "Could you explain what {rest} {be}?", "Can you tell me about {rest}?", "I would like to know more about {rest}.",
    )),
    (r"why do I (?P<rest>[^?]+)\?", (
        "What is the reason that I {rest}?", "Could you explain why I {rest}?", "Why is it that I {rest}?",
    )),
    (r"is it (?P<rest>(?:normal|okay|bad|possible|safe|healthy) [^?]+)\?", (
        "Would you say it is {rest}?", "Could you tell me whether it is {rest}?", "I wonder whether it is {rest}.",
    )),
    (r"(?P<verb>can|could|does|do|will|should) (?P<rest>[^?,]+)\?", ("I would like to know: {verb} {rest}?", "Please tell me, {verb} {rest}?")),
    (r"(?P<rest>(?:how|when|where|who|which) [^?]+)\?", ("Could you tell me: {rest}?", "I would like to know: {rest}?")),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), templates) for pattern, templates in RULES)


def rephrasings(question: str) -> Iterator[str]:
    """All re-phrasings of a question by the first rule that fits all of it; nothing if none fits.

    >>> next(rephrasings("How can I sleep better?"))
    'What are ways to sleep better?'
    """
    for pattern, templates in _COMPILED:
        found = pattern.fullmatch(question.strip())
        if found:
            parts = {name: _lower_first(part) for name, part in found.groupdict().items()}
            parts["be"] = "are" if re.match(r"what are", question.strip(), re.IGNORECASE) else "is"
            yield from (template.format_map(parts) for template in templates)
            return


def rephrase(
    train: pl.DataFrame, section: Rephrase, asked: Set[str], seed: int
) -> list[tuple[str, tuple[Message, ...]]]:
    """New conversations for training rows with exactly one question.

    Args:
        train: Training examples in `examples.SCHEMA`.
        section: How many copies.
        asked: Groups (question fingerprints) of all splits; their questions are not made again.
        seed: Chooses among the possible re-phrasings.

    Returns:
        (id of the row it was made from, new messages) for each.
    """
    made: list[tuple[str, tuple[Message, ...]]] = []
    taken = set(asked)
    for row in train.iter_rows(named=True):
        messages = tuple(Message(m["role"], m["content"]) for m in row["messages"])
        questions = [position for position, message in enumerate(messages) if message.role == "user"]
        if len(questions) != 1:
            continue
        candidates = sorted(rephrasings(messages[questions[0]].content), key=lambda c: text.seeded(seed, row["id"] + c))
        fresh = [c for c in candidates if text.fingerprint(text.key(c)) not in taken][: section.copies]
        for candidate in fresh:
            taken.add(text.fingerprint(text.key(candidate)))
            made.append(
                (row["id"], (*messages[: questions[0]], Message("user", candidate), *messages[questions[0] + 1 :]))
            )
    return made


def _lower_first(words: str) -> str:
    """`I am` keeps its capital; `Does it` becomes `does it`."""
    first = words.split(" ", 1)[0]
    keeps = first in ("I", "I'm", "I've", "I'd") or first.isupper()
    return words if keeps else words[:1].lower() + words[1:]
