from __future__ import annotations

import functools
from collections import defaultdict

import polars as pl
import pytest

from pakar.prepare import excerpts, kernel
from pakar.prepare.excerpts import Collector, Excerpts
from pakar.prepare.frames import RECORDS, Sieved, sieve
from pakar.prepare.operators import Rows, Step, Texts
from pakar.prepare.trace import trace


def records(*texts: str) -> pl.DataFrame:
    rows = [
        {"source": "s.csv", "offset": n, "part": 0, "messages": [{"role": "text", "content": content}]}
        for n, content in enumerate(texts, 1)
    ]
    return pl.DataFrame(rows, schema=RECORDS)


def replaced(old: str, new: str) -> Texts:
    return Texts(lambda texts: texts.str.replace_all(old, new, literal=True))


def without(word: str, batch: pl.DataFrame) -> Sieved:
    content = pl.col("messages").list.get(0).struct.field("content")
    return sieve(batch, ~content.str.contains(word, literal=True), "bad_word", "checker", f"it says {word}")


STEPS = [
    Step("html", replaced("<b>", "")),
    Step("checker", Rows(functools.partial(without, "no"))),
    Step("personal-data", replaced("ann@example.org", "[EMAIL_1]")),
    Step("person-names", replaced("Ann", "[PERSON_1]")),
]


def collected(raw: pl.DataFrame, size: int) -> Excerpts:
    """As the first task does it, in shards of one batch each."""
    parts = []
    for start in range(0, len(raw), size):
        batch = raw.slice(start, size)
        kept = kernel.run(kernel.begin(batch), STEPS, defaultdict(float)).kept
        collector = Collector(STEPS)
        collector.add(batch, kept.with_columns(pl.col("offset").hash(seed=1).alias("place")))
        parts.append(collector.excerpts())
    return excerpts.merged(parts)


@pytest.mark.parametrize("size", [1, 5])
def test_how_the_rows_are_parted_does_not_decide_which_are_shown(size: int) -> None:
    raw = records(*(f"<b>row {n} of ann@example.org" for n in range(12)))
    assert collected(raw, size) == collected(raw, 12)


def test_each_operator_shows_a_few_texts_before_and_after() -> None:
    found = collected(records(*(f"<b>row {n}" for n in range(12)), "untouched"), 100)
    assert list(found) == ["html"]
    assert len(found["html"]) == excerpts.EXAMPLES
    assert all(one["before"] == f"<b>{one['after']}" for one in found["html"])


def test_what_tells_who_somebody_is_stands_nowhere() -> None:
    found = collected(records("<b>Ann, ann@example.org, likes Annual reports. Ask Ann."), 100)
    assert set(found) == {"html", "personal-data", "person-names"}
    shown = str(found)
    assert "ann@example.org" not in shown
    assert "Ann," not in shown
    assert "Ann." not in shown
    assert "[EMAIL_1]" in found["personal-data"][0]["after"]
    assert "[PERSON_1]" in found["person-names"][0]["after"]


def test_a_trace_tells_who_changed_and_who_rejected() -> None:
    ways = trace(records("<b>yes", "<b>no", "yes"), STEPS)
    assert [[change.operator for change in way.changes] for way in ways] == [["html"], ["html"], []]
    assert ways[0].changes[0][1:] == ("<b>yes", "yes", ())
    assert [way.rejection and way.rejection[:2] for way in ways] == [None, ("checker", "bad_word"), None]
    assert [(way.offset, way.raw) for way in ways] == [(1, "<b>yes"), (2, "<b>no"), (3, "yes")]


def test_a_record_that_is_cut_into_several_is_traced_as_one() -> None:
    def halves(batch: pl.DataFrame) -> Sieved:
        first = batch.with_columns(pl.lit(1, pl.UInt32).alias("part"))
        second = batch.with_columns(pl.lit(2, pl.UInt32).alias("part"))
        return Sieved(pl.concat([first, second]), without("", batch).rejected.head(0))

    (way,) = trace(records("one two"), [Step("length", Rows(halves)), STEPS[0]])
    assert [change.operator for change in way.changes] == ["length"]
    assert way.changes[0].after == "one two\none two"
    assert way.changes[0].pieces == ("one two", "one two")
