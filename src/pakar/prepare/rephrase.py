"""Re-phrase questions of training rows by rules, after the split. The answers stay, and the new rows are marked.

A rule is a pattern for the whole of an English question of one sentence and the phrases that may stand in its place.
Rules keep the meaning and make correct English: a rule that turns the words around accepts only what it surely
understands, and every other question is at most introduced ("Could you tell me: …?"). Where no rule fits, no row is
made. A re-phrasing that is already asked anywhere in the data, in whatever split, is not made: it could carry a test
question into training.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_AUXILIARY = "am|is|are|was|were|do|does|did|have|has|can|could|will|would|should|must"
_SECOND_CLAUSE = rf"(?:,? (?:and|or|but|so)|,) (?:what|why|how|when|where|who|which|not|{_AUXILIARY}|please|right)\b"
_ONE_CLAUSE = rf"(?!.*{_SECOND_CLAUSE}(?<!, who))"
"""Ahead of a pattern that turns the words around: `How can I rest, and is it bad?` asks twice."""

_TOPICS = "signs|symptoms|causes|effects|benefits|risks|reasons|ways|habits|steps|things|tips|types|kinds|forms|examples|exercises|techniques|treatments|methods"
_TOPIC = "way|habit|routine|step|exercise|technique|example"
_NOUN_PHRASE = (
    rf"(?:(?<=are )(?:(?:some|the) )?(?:(?:most|more) )?(?:[a-z-]+ )?(?:{_TOPICS})(?= (?:of|for|to|that|in|I)\b|$)"
    rf"|(?<=is )an? (?:[a-z-]+ ){{0,2}}(?:{_TOPIC})(?= (?:of|for|to|that|I)\b|$)"
    r"|(?<=is )the (?:(?:difference|link|connection) between|(?:best|right) way to|(?:meaning|purpose|cause|effect) of)\b)"
)
"""The beginning of what is surely a noun phrase, after `What is` or `What are`."""

_ANY_QUESTION = (
    r"(?!(?:can|could|would|will) you\b)"
    rf"(?P<first>(?:(?:when|where) )?(?:{_AUXILIARY}) (?!(?:be|been|being|not|to)\b)"
    r"|(?:what|why|how|who|which) (?!(?:about|if|not|come|an?|else|I|my|we|our|you|your|he|his|she|her|it|its|they|their|me)\b))"
)
"""The beginning of a whole question; `When I am sad?` and `What about sleep?` are none."""

RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (_ONE_CLAUSE + r"how (?:can I|could I|do I(?! feel\b)) (?!(?:know|look|seem|sound|appear|have|even|ever|just|possibly|really)\b|\w+ so\b)(?P<rest>.+)", (
        "What are ways to {rest}?", "How exactly can I {rest}?", "What is a good way to {rest}?", "What can I do to {rest}?",
        "Could you explain how to {rest}?", "Can you tell me how to {rest}?", "I would like to learn how to {rest}.",
    )),
    (_ONE_CLAUSE + r"what (?P<modal>can|should|could) I do (?P<rest>.+)", (
        "Could you tell me what I {modal} do {rest}?", "What would you suggest I do {rest}?",
        "I would like to know what I {modal} do {rest}.",
    )),
    (_ONE_CLAUSE + rf"what (?:is|are) (?P<rest>{_NOUN_PHRASE}[^,]*)", (
        "Could you describe {rest}?", "Can you tell me about {rest}?", "I would like to hear about {rest}.",
    )),
    (_ONE_CLAUSE + r"why do I (?!not\b)(?P<rest>.+)", (
        "Could you explain why I {rest}?", "Why is it that I {rest}?", "I would like to understand why I {rest}.",
    )),
    (_ONE_CLAUSE + r"is it (?P<rest>(?:normal|okay|bad|possible|safe|healthy) .+)", (
        "Would you say it is {rest}?", "Could you tell me whether it is {rest}?", "I wonder whether it is {rest}.",
    )),
    (_ONE_CLAUSE + r"(?:can|could|would|will) you (?:please )?(?P<rest>(?:explain|describe|(?:teach|tell|show|help|give) me) .+)", (
        "Please {rest}.", "I would like you to {rest}.",
    )),
    (_ANY_QUESTION + "(?P<rest>.+)", (
        "Could you tell me: {first}{rest}?", "I would like to know: {first}{rest}?", "Please tell me: {first}{rest}?",
    )),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), templates) for pattern, templates in RULES)
_ONE_SENTENCE = re.compile(r"([^.!?;:…\n]*[^.!?;:…\s])\s*\?")
_SMALL_I = re.compile(r"(?<![\w'’-])i(?![\w-])")  # noqa: RUF001 - the curly apostrophe is meant


def rephrasings(question: str) -> Iterator[str]:
    """All re-phrasings of a question by the first rule that fits all of it; nothing if none fits.

    >>> next(rephrasings("How can I sleep better?"))
    'What are ways to sleep better?'
    """
    sentence = _ONE_SENTENCE.fullmatch(question.strip())
    if not sentence:
        return
    words = _SMALL_I.sub("I", " ".join(sentence[1].split()))
    for pattern, templates in _COMPILED:
        found = pattern.fullmatch(words)
        if found:
            parts = found.groupdict()
            parts |= {name: parts[name].lower() for name in ("first", "modal") if name in parts}
            yield from (template.format_map(parts) for template in templates)
            return


def by_rules(questions: Sequence[str]) -> list[list[str]]:
    """A `Rephraser`: all re-phrasings of each question by rules."""
    return [list(rephrasings(question)) for question in questions]
