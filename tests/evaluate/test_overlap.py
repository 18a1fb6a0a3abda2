from __future__ import annotations

import random
from typing import Any

import pytest
import sacrebleu
from rouge_score import rouge_scorer

from pakar import text
from pakar.metrics import overlap

SAME = [
    "Cristóbal está en su habitación",
    "Сон очень важен для здоровья",
    "النوم الجيد مهم للصحة",
    "नींद स्वास्थ्य के लिए ज़रूरी है",
    "睡眠对健康很重要",
    "ok",
    "👍",
]


@pytest.mark.parametrize("same", SAME)
def test_the_same_text_has_100_in_every_script(same: str) -> None:
    assert overlap.rouge_l(same, same) == 100
    assert overlap.chrf(same, same) == 100


def test_two_words_are_enough_for_100() -> None:
    assert overlap.rouge_l("sleep well", "sleep well") == 100
    assert overlap.chrf("sleep well", "sleep well") == 100


@pytest.mark.parametrize("nothing", ["", "  \n"])
def test_an_empty_answer_has_0(nothing: str) -> None:
    assert overlap.rouge_l(nothing, "Go to bed") == 0
    assert overlap.chrf(nothing, "Go to bed") == 0


def test_signs_do_not_match_words() -> None:
    assert overlap.rouge_l("!!", "Go to bed") == 0
    assert overlap.rouge_l("👍", "👎") == 0


def sentences(count: int) -> list[str]:
    source = random.Random(7)
    vocabulary = ["Sleep", "well", "and", "breathe", "out", "the", "a", "bed", "5", "slowly"]
    return [" ".join(source.choices(vocabulary, k=source.randint(1, 30))) + "." for _ in range(count)]


def test_rouge_l_equals_the_rouge_score_package() -> None:
    scorer: Any = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    for answer, reference in zip(sentences(60), reversed(sentences(60)), strict=True):
        expected = 100 * scorer.score(reference, answer)["rougeL"].fmeasure
        assert overlap.rouge_l(answer, reference) == pytest.approx(expected, abs=1e-9)


def test_rouge_l_equals_the_rouge_score_package_on_our_words() -> None:
    class Words:
        def tokenize(self, sentence: str) -> list[str]:
            return text.words(sentence.casefold())

    scorer: Any = rouge_scorer.RougeScorer(["rougeL"], tokenizer=Words())
    for answer, reference in [
        ("Don't panic, it's late", "It's late: don't"),
        ("Schläft gut, sagt er", "Er SCHLÄFT gut"),
    ]:
        expected = 100 * scorer.score(reference, answer)["rougeL"].fmeasure
        assert overlap.rouge_l(answer, reference) == pytest.approx(expected, abs=1e-9)


def test_a_common_subsequence_may_have_gaps() -> None:
    assert overlap.common_subsequence(list("abcbdab"), list("bdcaba")) == 4  # the textbook's pair


def test_chrf_equals_sacrebleu() -> None:
    for answer, reference in zip(sentences(20), reversed(sentences(20)), strict=True):
        assert overlap.chrf(answer, reference) == sacrebleu.sentence_chrf(answer, [reference]).score


def test_the_signature_says_which_chrf() -> None:
    assert overlap.chrf_signature().startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")
