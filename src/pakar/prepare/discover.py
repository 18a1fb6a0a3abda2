"""Looking at a data file before anything is asked of it: what it holds, in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from pakar import text
from pakar.errors import DataError
from pakar.prepare.frames import Sieved
from pakar.prepare.sources.reading import Reading, likely_label, resolve
from pakar.prepare.sources.remarks import remarks
from pakar.prepare.sources.sharding import read_all
from pakar.recipe import AutoShape, Shape, Source, TextShape, TurnsShape
from pakar.recipe.sources import HUB

EXAMPLES = 3
FOLDED_HUB = HUB.replace("//", "/", 1)

_MARKUP = r"<[a-zA-Z/][^<>]{0,200}>|&(?:[a-z]{2,8}|#\d{2,5});"
_BROKEN = r"â€|Ã[\x80-\xBF]|Â[\xA0-\xBF]|Ã¢"
_PLACEHOLDER = r"\{\{\s*\w+\s*\}\}|<unk>|@xcite|@xmath\d"


@dataclass(frozen=True)
class Discovery:
    """What a look at a file or folder found.

    Attributes:
        path: The file, folder or pattern, or the address of a dataset.
        format: Never `auto`.
        encoding: Empty for formats that hold no plain characters.
        shape: Never `auto`.
        columns: All column names that were seen.
        rows: Records in all, rejected ones included; of intents, pairs.
        rejected: Reason word → number of records that cannot be read.
        examples: The first records as (last question, answer), or as (text,).
        mean_answer_words: White-space separated words of the last answer or of the text.
        notes: What a person should know before going on, one sentence each.
        label: Column that sorts texts into kinds, where that is sure.
    """

    path: Path
    format: str
    encoding: str
    shape: Shape
    columns: tuple[str, ...]
    rows: int
    rejected: dict[str, int]
    examples: tuple[tuple[str, ...], ...]
    mean_answer_words: float
    notes: tuple[str, ...]
    label: str | None = None

    @property
    def size(self) -> str:
        """Records and their length, in words."""
        unit = "text" if isinstance(self.shape, TextShape) else "answer"
        return f"{self.rows:,} records, {self.mean_answer_words:,.0f} words per {unit}"

    @property
    def usable(self) -> int:
        """Records that were read."""
        return self.rows - sum(self.rejected.values())


@dataclass
class _Counts:
    rows: int = 0
    words: int = 0
    found: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    questions: set[int] = field(default_factory=set)
    examples: list[tuple[str, ...]] = field(default_factory=list)


def look(path: Path, shape: Shape = AutoShape()) -> Discovery:  # noqa: B008 - frozen, so it can be shared
    """Read the whole file once and say what it holds.

    Args:
        path: File, folder, pattern, or address of a dataset on the hub.
        shape: Where question and answer stand, if it is known.

    Raises:
        DataError: the file cannot be read, or it is not clear what its columns mean.
    """
    reading = resolve(Source(path=address(path), shape=shape))
    if kind := likely_label(reading):
        reading = replace(reading, source=reading.source.model_copy(update={"label": kind}))
    counts = _Counts()
    for batch in read_all(reading):
        _count(batch, counts)
    usable = counts.rows - counts.rejected.total()
    if not usable:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in counts.rejected.most_common())
        raise DataError(
            f"{path}: none of its {counts.rows:,} records can be used ({reasons})", next_step="mend the file."
        )
    return Discovery(
        path=path,
        format=reading.format,
        encoding=reading.encoding,
        shape=reading.shape,
        columns=reading.columns,
        rows=counts.rows,
        rejected=dict(counts.rejected.most_common()),
        examples=tuple(counts.examples),
        mean_answer_words=counts.words / max(usable, 1),
        notes=tuple(_notes(reading, counts, usable)),
        label=reading.label,
    )


def address(path: Path) -> str:
    """As typed: a `Path` folds the two strokes of `hf://` into one."""
    name = str(path)
    return HUB + name.removeprefix(FOLDED_HUB) if name.startswith(FOLDED_HUB) else name


def _count(batch: Sieved, counts: _Counts) -> None:
    counts.rows += len(batch.kept) + len(batch.rejected)
    counts.rejected.update(batch.rejected["reason"].to_list())
    said = batch.kept.select(
        pl.col("messages").list.last().struct.field("content").alias("answer"),
        pl.col("messages").list.get(-2, null_on_oob=True).struct.field("content").alias("question"),
        pl.col("messages").list.eval(pl.element().struct.field("content")).list.join("\n").alias("all"),
    )
    answer, everything = pl.col("answer"), pl.col("all")
    sums = said.select(
        words=answer.str.count_matches(r"\S+").sum(),
        markup=answer.str.replace_all("<unk>", "", literal=True).str.contains(_MARKUP).sum(),
        broken=everything.str.contains(_BROKEN).sum(),
        placeholder=everything.str.contains(_PLACEHOLDER).sum(),
        empty=(answer.str.replace_all(r"<[^>]{0,200}>|&nbsp;", " ").str.strip_chars() == "").sum(),
    ).row(0, named=True)
    counts.words += sums.pop("words")
    counts.found.update(sums)
    counts.questions.update(hash(question) for question in said["question"].drop_nulls())
    wanted = EXAMPLES - len(counts.examples)
    for question, reply in said.select("question", "answer").head(wanted).iter_rows():
        counts.examples.append((reply,) if question is None else (question, reply))


def _notes(reading: Reading, counts: _Counts, usable: int) -> list[str]:
    texts = "texts" if isinstance(reading.shape, TextShape) else "answers"
    found, repeated = counts.found, usable - len(counts.questions)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in counts.rejected.most_common())
    pairs = not isinstance(reading.shape, TextShape | TurnsShape)
    sentences = [
        (counts.rejected.total(), f"records of {counts.rows:,} cannot be read ({reasons}); they will be rejected"),
        (found["empty"], f"{texts} are empty; such records will be rejected"),
        (found["broken"], "records hold broken characters such as â€™; cleaning mends them"),
        (found["placeholder"], "records hold placeholders such as {{name}} or <unk>; they are learnt as they stand"),
        (repeated if pairs else 0, "questions repeat an earlier one; the split keeps equal questions together"),
    ]
    notes = [*remarks(reading), *(f"{count:,} {words}." for count, words in sentences if count)]
    if found["markup"]:
        notes.append(f"{_share(found['markup'], usable)} of the {texts} hold HTML; cleaning takes it out.")
    return notes


def _share(part: int, whole: int) -> str:
    share = 100 * part / max(whole, 1)
    return f"{share:.0f} %" if share >= 1 else f"{part:,}"


def describe(discovery: Discovery) -> str:
    """What the terminal shows."""
    encoding = f", {discovery.encoding}" if discovery.encoding else ""
    lines = [
        f"{discovery.path}",
        f"  format    {discovery.format}{encoding}",
        f"  shape     {_mapping(discovery.shape)}",
        *([f"  label     {discovery.label}"] if discovery.label else []),
        f"  columns   {', '.join(text.shorten(column, 40) for column in discovery.columns[:20])}"
        + (f" … ({len(discovery.columns):,} in all)" if len(discovery.columns) > 20 else ""),
        f"  size      {discovery.size}",
    ]
    for number, example in enumerate(discovery.examples, 1):
        lines.append(f"  example {number}")
        labels = ("Q", "A") if len(example) == 2 else ("T",)
        lines += [f"    {label}: {text.shorten(part, 100)}" for label, part in zip(labels, example, strict=True)]
    lines += [f"  - {note}" for note in discovery.notes]
    return "\n".join(lines)


def _mapping(shape: Shape) -> str:
    fields = shape.model_dump(exclude_none=True)
    kind = fields.pop("kind")
    return f"{kind}: " + ", ".join(f"{key} = {value}" for key, value in fields.items()) if fields else str(kind)
