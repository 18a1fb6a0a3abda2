"""Presidio's recognisers, used one by one: no language model, no network, no text in logs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple, Protocol

import presidio_analyzer
import tldextract
from presidio_analyzer import predefined_recognizers as presidio
from presidio_analyzer.recognizer_result import RecognizerResult

# Presidio writes a text that it fails to check to its log; personal data must not get there.
logging.getLogger("presidio-analyzer").propagate = False

MAX_SCORE: float = presidio_analyzer.EntityRecognizer.MAX_SCORE
Pattern = presidio_analyzer.Pattern
PatternRecognizer = presidio_analyzer.PatternRecognizer


class Recogniser(Protocol):
    """What of a Presidio recogniser is used."""

    def analyze(self, text: str, entities: list[str]) -> list[RecognizerResult]:
        """What it finds in a text."""


class Match(NamedTuple):
    """What a recogniser found at `start:end`; a score of MAX_SCORE says that a checksum was right."""

    start: int
    end: int
    score: float


def matches(recogniser: Recogniser, text: str, start: int, end: int) -> Iterator[Match]:
    """What a recogniser finds in `text[start:end]`, as places in the whole text."""
    start = max(0, start)
    for result in recogniser.analyze(text[start:end], []):
        yield Match(start + result.start, start + result.end, result.score)


@cache
def suffixes() -> tldextract.TLDExtract:
    """The public suffix list that comes with the library; its default instance would look for a newer one on the network."""
    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)


class OfflineEmail(presidio.EmailRecognizer):
    """Presidio's e-mail recogniser with the public suffix list that needs no network."""

    def validate_result(self, pattern_text: str) -> bool:
        """Whether the address ends in a domain that can exist."""
        return suffixes()(pattern_text).fqdn != ""
