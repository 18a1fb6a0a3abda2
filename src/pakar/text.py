"""Pure functions on strings: words, keys, fingerprints. Knows nothing of files, tables or models."""

from __future__ import annotations

import hashlib
import unicodedata

import regex  # unlike `re` it knows combining marks, without which Hindi or Thai words fall to pieces

_LETTER = r"[\p{L}\p{M}\p{N}]"
_WORD = regex.compile(rf"{_LETTER}+(?:['’\-]{_LETTER}+)*")  # noqa: RUF001 - the curly apostrophe is meant
_NOT_WORD = regex.compile(r"[^\p{L}\p{M}\p{N}]+")


def words(text: str) -> list[str]:
    """Unicode words: letters and digits of any script; an apostrophe or hyphen inside a word does not part it.

    >>> words("Don't panic, it's a well-known façade.")
    ["Don't", 'panic', "it's", 'a', 'well-known', 'façade']
    """
    return [str(word) for word in _WORD.findall(text)]


def key(text: str) -> str:
    """What stays of `text` when case, punctuation, width and white space are forgotten; for comparing questions.

    >>> key("  How,can I   sleep?") == key("how can i sleep")
    True
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return str(_NOT_WORD.sub(" ", folded)).strip() or text


def fingerprint(*parts: str) -> str:
    """SHA-256 over `parts`, in hex. Parts are kept apart: `("ab", "c")` and `("a", "bc")` differ."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.hexdigest()


def seeded(seed: int, name: str) -> str:
    """A fixed pseudo-random place for `name`: sorting by it shuffles the same way on every machine, in any order."""
    return fingerprint(str(seed), name)


def shorten(text: str, limit: int = 60) -> str:
    """`text` on one line, cut to `limit` characters with an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
