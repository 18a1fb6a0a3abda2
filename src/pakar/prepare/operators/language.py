"""Keep rows in some languages. Reason: `language`; the detail names the language found and its certainty.

The identifier is py3langid's naive Bayes model over byte n-grams (after Lui and Baldwin 2012; the languages of ISO 639-1 alone), which lies inside its package. It
reads the beginning of every message. Texts with hardly any letters are `und` (undetermined) and are never rejected. Close relatives are
told apart badly when texts are short (Indonesian and Malay above all): keep both, or ask for more certainty.
"""

from __future__ import annotations

import difflib
from functools import cache
from typing import Any

import polars as pl
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from pakar.errors import RecipeError
from pakar.prepare.frames import Sieved
from pakar.prepare.operators import Rows, Tools
from pakar.prepare.rows import remove
from pakar.recipe.operators import Language

NAME = "language"
UNDETERMINED = "und"
READ = 240
"""Characters of each message that are read: on prose, more gain next to nothing and cost time."""
LETTERS = 16
"""Bytes of letters below which nothing is said about the language: 16 Latin letters, 8 of Cyrillic or Arabic, 6 of Chinese."""

_NOT_LETTERS = r"https?://\S+|\S+@\S+|[^\p{L}\p{M}]+"
_ONE_SPACE = " "
_WIDER = {  # varieties and old stages that the model tells apart, as the language that people ask for
    "zxx": UNDETERMINED, "arz": "ar", "ary": "ar", "wuu": "zh", "yue": "zh", "uzs": "uz", "gug": "gn", "grc": "el", "hbo": "he",
    "kik": "ki", "ltg": "lv", "srl": "sr",
}  # fmt: skip


def detect(texts: pl.Series) -> pl.DataFrame:
    """Language and certainty (0 to 1) of every text: columns `language` (ISO 639 code, or `und`) and `certainty`."""
    letters = texts.fill_null("").str.slice(0, 2 * READ).str.replace_all(_NOT_LETTERS, _ONE_SPACE)
    counts = letters.str.replace_all(_ONE_SPACE, "", literal=True).str.len_bytes()
    names, shares = [], []
    for text, count in zip(letters, counts, strict=True):
        name, share = _identifier().classify(text) if count >= LETTERS else (UNDETERMINED, 0.0)
        names.append(_WIDER.get(name, name))
        shares.append(share)
    return pl.DataFrame(
        {"language": pl.Series(names, dtype=pl.String), "certainty": pl.Series(shares, dtype=pl.Float64)}
    )


@cache
def _identifier() -> Any:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    # Creoles and small neighbours without a code of two letters are mostly found by mistake, in slang.
    identifier.set_languages([name for name in identifier.labels if len(name) == 2 or name in _WIDER])
    return identifier


def languages() -> list[str]:
    """The codes that can be told apart."""
    return sorted({_WIDER.get(name, name) for name in _identifier().labels} - {UNDETERMINED})


def keep_languages(batch: pl.DataFrame, section: Language) -> Sieved:
    """Rows in one of the languages, and rows of which nobody can say."""
    start = (
        pl.col("messages")
        .list.eval(pl.element().struct.field("content").str.slice(0, READ))
        .list.join("\n", ignore_nulls=True)
    )
    found = detect(batch.select(start).to_series())
    other = ~found["language"].is_in([*section.keep, UNDETERMINED]) & (found["certainty"] >= section.certainty)
    details = found.select(pl.format("{}, certainty {}", "language", pl.col("certainty").round(2))).to_series()
    return remove(batch, other, "language", NAME, details)


def build(section: Language, _: Tools) -> Rows:
    """For `pakar.prepare.operators.build`.

    Raises:
        RecipeError: the model does not know a language that is to be kept.
    """
    known = languages()
    for code in section.keep:
        if code not in known:
            near = difflib.get_close_matches(code.lower(), known, 3, 0.4)
            raise RecipeError(f"language: keep: {code!r} is not the code of a language that can be found",
                              next_step=f"write an ISO 639-1 code such as {', '.join(near or ['en', 'id'])}.")  # fmt: skip
    return Rows(lambda batch: keep_languages(batch, section))
