"""How much of the reference's letters and words an answer has, 0 to 100: an empty answer has 0, the same text 100."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from sacrebleu.metrics.chrf import CHRF

from pakar import text
from pakar.metrics.metric import Answer, AnswerColumn, Metric
from pakar.recipe import Evaluate

ROUGE_L_DEFINITION = (
    "F1 of the longest common subsequence of words, 0-100, mean over answers; words: Unicode (letters and digits of "
    "any script, inner apostrophes and hyphens kept), casefolded; no stemming, no sentence split"
)


def chrf(answer: str, reference: str) -> float:
    """Sentence chrF2: F-score of character 1- to 6-grams, recall weighted twice (Popović 2015, eq. 1), by sacrebleu."""
    return float(_chrf().sentence_score(answer, [reference]).score) if answer.strip() else 0.0


def chrf_signature() -> str:
    """The settings behind `chrf`, in sacrebleu's words (Post 2018)."""
    chrf("a", "a")  # sacrebleu knows its signature only after the first score.
    return str(_chrf().get_signature())


def rouge_l(answer: str, reference: str) -> float:
    """ROUGE-L F1 in percent (Lin 2004, eq. 2-4 with β = 1): 2·LCS / (words of answer + words of reference).

    >>> rouge_l("Breathe out slowly", "breathe slowly")
    80.0
    """
    ours, theirs = text.words(answer.casefold()), text.words(reference.casefold())
    if not ours or not theirs:  # Signs and emoji only: no words to compare, so the same or not.
        return 100.0 if answer.strip() and answer.strip() == reference.strip() else 0.0
    return 200.0 * common_subsequence(ours, theirs) / (len(ours) + len(theirs))


def common_subsequence(first: list[str], second: list[str]) -> int:
    """Length of the longest common subsequence, O(n·m) with one numpy row for each word of `first`.

    L[i, j] = max(L[i-1, j], L[i-1, j-1] + [first_i = second_j], L[i, j-1]); the last term is a running maximum.
    """
    numbers = {word: number for number, word in enumerate({*first, *second})}
    row = np.zeros(len(second) + 1, dtype=np.int64)
    columns = np.array([numbers[word] for word in second])
    for word in first:
        row[1:] = np.maximum(row[1:], row[:-1] + (columns == numbers[word]))
        row = np.maximum.accumulate(row)
    return int(row[-1])


@lru_cache(maxsize=1)
def _chrf() -> CHRF:
    return CHRF()


def _chrf_of(answer: Answer, _: Evaluate) -> float:
    return chrf(answer.answer, answer.reference)


def _rouge_l_of(answer: Answer, _: Evaluate) -> float:
    return rouge_l(answer.answer, answer.reference)


COLUMNS: dict[str, AnswerColumn] = {"chrf": _chrf_of, "rouge_l": _rouge_l_of}

METRICS = (
    Metric("chrf", "points of 100", True, "chrf"),
    Metric("rouge_l", "points of 100", True, "rouge_l"),
)
