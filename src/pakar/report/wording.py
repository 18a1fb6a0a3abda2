"""Plain words and readable numbers for the names that the stages use. Unknown names are shown as they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

SHARES = ("share", "fraction")
"""Units of figures between 0 and 1 that people read as per cent."""


class Words(NamedTuple):
    """A name for people and one line on what it means."""

    title: str
    meaning: str


_METRICS = {
    "loss": Words("Loss", "How surprised the model is by each token (piece of a word) of the reference text"),
    "perplexity": Words(
        "Perplexity", "The loss as a number of choices: 20 is as unsure as a guess among 20 next tokens"
    ),
    "bits_per_byte": Words(
        "Bits per byte", "The loss per byte of text; comparable between models with different tokens"
    ),
    "chrf": Words("chrF", "Overlap with the reference answer in groups of letters, from 0 to 100"),
    "rouge_l": Words("ROUGE-L", "Overlap with the reference answer in words that come in the same order"),
    "bleu": Words("BLEU", "Overlap with the reference answer in runs of up to four words, from 0 to 100"),
    "answer_words": Words("Words per answer", "How long the answers are"),
    "in_target_length": Words("Wanted length", "Share of answers whose number of words is in the wanted range"),
    "ended_by_itself": Words(
        "Ended by itself", "Share of answers that the model ended itself, not cut off at the limit"
    ),
    "empty": Words("Empty answers", "Share of answers without a word"),
}

_REASONS = {
    "duplicate": "all its messages equal those of an earlier row",
    "empty_answer": "the answer says nothing",
    "empty_question": "the question says nothing",
    "empty_text": "the text says nothing",
    "too_long": "longer than the model's context, or than wanted",
    "nothing_learnt": "every answer in it is marked as one that is only read, so nothing could be learnt",
    "prompt_too_long": "the question alone fills the model's context, so no answer fits",
    "near_duplicate": "nearly all its words are those of another row, which stays",
    "not_sampled": "not among the rows that were drawn by seed",
    "boilerplate": "it is no prose but page furniture",
    "contaminated": "it overlaps with a benchmark file",
    "has_email": "it holds an e-mail address",
    "has_link": "it holds a link",
    "has_number": "it holds a number",
    "has_phone": "it holds a phone number",
    "language": "it is in another language than those wanted",
    "person_name": "it names somebody",
    "personal_data": "it holds what tells who somebody is",
    "placeholder": "a blank of a template was never filled in",
    "repetition": "it repeats itself too often",
    "too_short": "shorter than wanted",
    "unsafe:encouragement": "an assistant must not learn to write it",
    "unsafe:harmful_advice": "an assistant must not learn to write it",
    "unsafe:method": "an assistant must not learn to write it",
    # Of readers.
    "binary_file": "the file holds something else than text",
    "empty_message": "a message holds nothing",
    "missing_turns": "nothing is asked in it",
    "no_answer": "nobody answers in it",
    "not_an_object": "it is valid JSON, but no object with columns",
    "unequal_row": "it has more or fewer cells than the header",
    "unclosed_quote": "a quotation mark is never closed",
    "unreadable_json": "it is not valid JSON",
    "unreadable_file": "the file could not be read",
    "unsupported_file": "a file of this kind is not read",
    "unsupported_content": "a message holds something else than text",
    "mixed_weights": "two answers stand in a row, of which only one is to be learnt",
    "unsupported_weight": "a message's weight is neither 0 (read) nor 1 (learnt)",
    "unknown_role": "nobody knows who speaks in one of its messages",
    "not_text": "a cell holds something else than text",
    "no_patterns": "an intent without patterns",
    "no_questions": "a passage without questions",
    "no_responses": "an intent without responses",
    "no_text": "the document has no text, perhaps only pictures of it",
    "missing_columns": "none of the wanted columns is in it",
    "outside_folder": "a link that leads out of the folder",
    "repeated_key": "a key stands twice in it, so one value would be lost",
    "stray_line": "it belongs to no conversation",
    "too_large": "larger than is read",
}

_OPERATORS = {
    "encoding": "broken characters mended, such as donâ€™t to don’t",  # noqa: RUF001 - the broken text is the example
    "html": "tags removed and entities such as &amp; turned into characters",
    "control-characters": "invisible control characters removed",
    "white-space": "spaces and line breaks tidied",
    "truncate": "longer than the model's context; the end was cut off",
    "boilerplate": "lines of page furniture removed, such as cookie notices",
    "case-folding": "capital letters written small",
    "length": "longer than wanted; cut",
    "patterns": "links, numbers or addresses replaced",
    "person-names": "names of people replaced",
    "personal-data": "addresses, numbers and the like that tell who somebody is replaced",
    "reference-scientific": "the cleaning of a published system",
    "scientific-marks": "marks of pre-tokenised papers removed",
}

_LANGUAGES = {
    "ar": "Arabic", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian",
    "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "ms": "Malay", "nl": "Dutch", "no": "Norwegian",
    "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sv": "Swedish", "th": "Thai", "tl": "Tagalog",
    "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
    "unsure": "cannot be told",
}  # fmt: skip

_SYSTEMS = {"base": "Base model", "tuned": "Tuned model", "reference": "Reference answer"}


def metric(name: str) -> Words:
    """A metric's title and meaning."""
    return _METRICS.get(name) or Words(_spaced(name), "")


def reason(name: str) -> str:
    """What a reason for a rejection means."""
    return _REASONS.get(name, "a rule of the recipe left it out")


def operator(name: str) -> str:
    """What a cleaning operator does."""
    return _OPERATORS.get(name, "")


def language(code: str) -> str:
    """A language's name; a code that is not known is shown as it is."""
    return _LANGUAGES.get(code, code)


def system(name: str) -> str:
    """A system's name for people."""
    return _SYSTEMS.get(name) or _spaced(name)


def _spaced(name: str) -> str:
    words = name.replace("_", " ").replace("-", " ").strip()
    return words[:1].upper() + words[1:]


def figure(value: float, unit: str = "") -> str:
    """One number.

    >>> figure(6.4213), figure(0.126, "share")
    ('6.42', '13 %')
    """
    return figures([value], unit)[0]


def figures(values: Iterable[float], unit: str = "", *, signed: bool = False) -> list[str]:
    """Numbers that stand together, with the same number of decimals."""
    scale, mark = (100.0, " %") if unit in SHARES else (1.0, "")
    scaled = [value * scale for value in values]
    if any(abs(value) >= 1e7 for value in scaled):
        return [_minus(f"{value:{'+' if signed else ''}.2e}") + mark for value in scaled]
    places = _places(scaled, percent=bool(mark))
    return [_minus(f"{value:{'+' if signed and value else ''},.{places}f}") + mark for value in scaled]


def difference(low: float, middle: float, high: float, unit: str) -> tuple[str, str]:
    """A difference and its interval, as ("+3.32", "+3.00 to +3.60"); differences of shares are in percentage points."""
    shown = figures([low, middle, high], unit, signed=True)
    points = " points" if unit in SHARES else ""
    bare = [text.removesuffix(" %") for text in shown]
    return bare[1] + points, f"{bare[0]} to {bare[2]}"


def p_value(p: float) -> str:
    """`p = 0.012` or `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def count(number: int, noun: str) -> str:
    """`1 question`, `1,200 questions`; `noun` is given in the plural."""
    return f"{number:,} {noun.removesuffix('s') if number == 1 else noun}"


def minutes(seconds: float) -> str:
    """A time span as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def parameters(number: int) -> str:
    """`13.4 million`."""
    for size, name in ((1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.3g} {name}"
    return f"{number:,}"


def _places(values: list[float], *, percent: bool) -> int:
    """Decimals: about three figures of the largest number, more if a smaller one would be rounded to 0."""
    largest = max((abs(value) for value in values), default=0.0)
    places = 0 if percent or largest >= 100 else 1 if largest >= 10 else 2
    while places < 4 and any(value and round(abs(value), places) == 0 for value in values):
        places += 1
    return places


def _minus(number: str) -> str:
    return number.replace("-", "\N{MINUS SIGN}")  # as wide as a plus
