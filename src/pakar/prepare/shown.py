"""The few texts of a run that people are shown, without what tells who somebody is: the content of prepare/excerpts.json.

Pages are made to be passed on. So every text goes through the operators that hide people, as the recipe has them, also those of
rows that were rejected before they came to these; without `personal-data` in the recipe, its default looks.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from pakar import text
from pakar.conversation import SPLITS
from pakar.models.prompt import Renderer
from pakar.prepare import excerpts, kernel, operators
from pakar.prepare.excerpts import CHARACTERS, EXAMPLES, Excerpts
from pakar.prepare.frames import RECORDS, content
from pakar.prepare.operators import Step
from pakar.recipe.operators import Operator, PersonalData, PersonNames
from pakar.report import diff
from pakar.run import Run

PAIRS = 3
UNSAFE = "unsafe"
"""What an operator of this name marked or rejected is named by its place only."""
_ROW = re.compile(r"\brow ([0-9a-f]{16})[0-9a-f]*")


def collect(run: Run, changed: Iterable[Excerpts], renderer: Renderer) -> dict[str, Any]:
    """Read what preparation has written and choose what is shown.

    Args:
        run: Examples and rejected rows are written.
        changed: Texts before and after the operators, of each shard.
        renderer: For the operators.

    Returns:
        `changed` (operator → texts before and after), `rejected`, `flagged` (flag → rows) and `pairs` of nearly equal rows.
    """
    steps = operators.build(hiding(run.recipe.prepare.operators), operators.Tools(renderer))
    before_after = excerpts.merged(changed)
    return {
        "changed": {name: _hidden(rows, ("before", "after"), steps) for name, rows in before_after.items()},
        "rejected": _hidden(_rejected(run), ("text", "detail"), steps),
        "flagged": {name: _hidden(rows, ("text",), steps) for name, rows in _flagged(run)},
        "pairs": _hidden(_pairs(run), ("before", "after", "detail"), steps),
    }


def hiding(sections: Sequence[Operator]) -> list[Operator]:
    """The operators that hide people, as the recipe has them but for the treatment: an excerpt is not rejected."""
    found: list[Operator] = [
        section.model_copy(update={"treatment": "replace"})
        for section in sections
        if isinstance(section, PersonalData | PersonNames)
    ]
    return found if any(isinstance(section, PersonalData) for section in found) else [PersonalData(), *found]


def hidden(rows: Sequence[Sequence[str]], steps: Sequence[Step]) -> list[list[str]]:
    """The texts of each row with placeholders in place of people; what stands in several texts of a row has one placeholder."""
    records = [
        {"source": "", "offset": number, "part": 0, "messages": [{"role": "text", "content": said} for said in row]}
        for number, row in enumerate(rows)
    ]
    batch = kernel.begin(pl.DataFrame(records, schema=RECORDS))
    kept = kernel.run(batch, steps, defaultdict(float)).kept.sort("offset")
    return [[message["content"] for message in messages] for messages in kept["messages"].to_list()]


def _hidden(found: Iterable[Mapping[str, Any]], named: Sequence[str], steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Rows with their texts hidden, and then cut: half a number at the cut would not be recognised."""
    rows = list(found)
    texts = hidden([[row[name] or "" for name in named] for row in rows], steps)
    return [
        {**row, **{name: text.shorten(said, CHARACTERS) for name, said in zip(named, of_row, strict=True)}}
        for row, of_row in zip(rows, texts, strict=True)
    ]


def _rejected(run: Run) -> Iterator[dict[str, Any]]:
    """A few rows of each reason and operator."""
    table = _table(run)
    if table is None:
        return
    kinds = table.select("operator", "reason").unique().collect().sort("operator", "reason")
    for operator, reason in kinds.iter_rows():
        same = (pl.col("operator") == operator) & (pl.col("reason") == reason)
        rows = table.filter(same).select("operator", "reason", "source", "offset", "detail", "text").head(EXAMPLES)
        for row in rows.collect().iter_rows(named=True):
            yield row | {"detail": _nameless(row["detail"])} | ({"text": ""} if operator == UNSAFE else {})


def _flagged(run: Run) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    rows = _kept(run).filter(~pl.col("augmented"))
    for (name,) in (
        rows.select(pl.col("flags").explode(empty_as_null=False)).unique().collect().sort("flags").iter_rows()
    ):
        words = pl.lit("") if name.startswith(UNSAFE) else content()
        marked = rows.filter(pl.col("flags").list.contains(name)).head(EXAMPLES)
        yield name, marked.select("source", "offset", words.alias("text")).collect().to_dicts()


def _pairs(run: Run) -> Iterator[dict[str, Any]]:
    """Nearly equal rows beside the row that was kept; a kept row that the sample left out cannot be shown."""
    table = _table(run)
    if table is None:
        return
    rows = table.filter(pl.col("reason") == "near_duplicate").head(4 * PAIRS).collect().to_dicts()
    named = {found[1]: row for row in rows if (found := _ROW.search(row["detail"] or ""))}
    start = pl.col("id").str.slice(0, 16)
    stays = _kept(run).filter(start.is_in(list(named)) & ~pl.col("augmented"))
    for identity, source, offset, words in (
        stays.select(start, "source", "offset", content()).head(PAIRS).collect().iter_rows()
    ):
        row = named[identity]
        before, after = diff.window(str(row["text"]), words, CHARACTERS)
        yield {
            "source": row["source"], "offset": row["offset"], "detail": _nameless(row["detail"]),
            "kept_source": source, "kept_offset": offset, "before": before, "after": after,
        }  # fmt: skip


def _nameless(detail: str | None) -> str:
    return _ROW.sub("the row that was kept", detail or "")


def _table(run: Run) -> pl.LazyFrame | None:
    paths = sorted(run.rejected_dir.glob("*.parquet"))
    return pl.scan_parquet(paths) if paths else None


def _kept(run: Run) -> pl.LazyFrame:
    return pl.scan_parquet([path for split in SPLITS for path in sorted(run.examples_dir(split).glob("*.parquet"))])
