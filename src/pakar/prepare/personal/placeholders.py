"""Placeholders such as `[EMAIL_1]`: the same one for the same value in all messages of a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import NamedTuple

from pakar.prepare.personal.surroundings import PLACEHOLDER


class Marked(NamedTuple):
    """`text[start:end]` is to be replaced.

    Attributes:
        start: Index of its first character.
        end: Index behind its last one.
        kind: Word of its placeholder, such as `EMAIL`.
        identity: What tells it from others of its kind.
    """

    start: int
    end: int
    kind: str
    identity: str


def word(type_name: str) -> str:
    """The word in a type's placeholders.

    >>> word("credit-card")
    'CREDIT_CARD'
    """
    return type_name.upper().replace("-", "_")


def identity(type_name: str, value: str) -> str:
    """What stays the same in all ways to write a value: numbers without separators, everything in small letters.

    >>> identity("iban", "GB82 WEST 1234"), identity("email", "Anna@Example.org")
    ('gb82west1234', 'anna@example.org')
    """
    value = value.casefold()
    if type_name in {"email", "link", "ip-address", "date-of-birth"}:
        return value
    return "".join(filter(str.isalnum, value))


def free_numbers(texts: Iterable[str]) -> Callable[[str], int]:
    """Hands out the next number for a kind, behind those that placeholders in the texts already have."""
    taken: dict[str, int] = {}
    for text in texts:
        for kind, number in PLACEHOLDER.findall(text):
            taken[kind] = max(taken.get(kind, 0), int(number))
    counters: dict[str, count[int]] = {}
    return lambda kind: next(counters.setdefault(kind, count(taken.get(kind, 0) + 1)))


def outside_placeholders(text: str, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans that share no character with a placeholder."""
    taken = [match.span() for match in PLACEHOLDER.finditer(text)]
    return [(start, end) for start, end in spans if all(end <= left or right <= start for left, right in taken)]


def replace(texts: Sequence[str], marked: Sequence[Sequence[Marked]], known: dict[tuple[str, str], str]) -> list[str]:
    """Put placeholders in the place of what is marked (in the order of the text, without overlaps), text by text.

    Args:
        texts: All messages of a row.
        marked: What to replace in each of them.
        known: Placeholder by kind and identity; those given to new values are added.
    """
    number = free_numbers([*texts, *known.values()])
    for one in (one for marks in marked for one in marks):
        if (one.kind, one.identity) not in known:
            known[one.kind, one.identity] = f"[{one.kind}_{number(one.kind)}]"
    return [
        substitute(text, {(one.start, one.end): known[one.kind, one.identity] for one in marks})
        for text, marks in zip(texts, marked, strict=True)
    ]


def substitute(text: str, replacements: Mapping[tuple[int, int], str]) -> str:
    """The text with the given spans (without overlaps) replaced."""
    pieces, position = [], 0
    for (start, end), replacement in sorted(replacements.items()):
        pieces += [text[position:start], replacement]
        position = end
    return "".join([*pieces, text[position:]])
