"""Looking at a data file before anything is asked of it: what it holds, in words, and a recipe to start from."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import yaml

from pakar import text
from pakar.errors import DataError
from pakar.prepare.frames import Sieved
from pakar.prepare.sources.formats import ending
from pakar.prepare.sources.reading import Reading, outcomes, resolve
from pakar.prepare.sources.remarks import remarks
from pakar.prepare.sources.rows import batches
from pakar.recipe import Shape, Source, TextShape

EXAMPLES = 3
FEW = 10
"""Records; with fewer, none are kept apart for validation and test."""
NEAR = 2
"""Folders to climb at most before a path is written in full."""
SMALL = 500
"""Records; with fewer, re-phrased questions are worth their time."""
LARGE = 20_000
"""Records; with more, a first try on a part saves hours."""
BATCH_SIZE = 16
WANTED_STEPS = 160
MOST_EPOCHS = 20
COPIES = 2
TRAIN_SHARE = 0.8

_MARKUP = r"<[a-zA-Z/][^<>]{0,200}>|&(?:[a-z]{2,8}|#\d{2,5});"
_BROKEN = r"â€|Ã[\x80-\xBF]|Â[\xA0-\xBF]|Ã¢"
_PLACEHOLDER = r"\{\{\s*\w+\s*\}\}|<unk>|@xcite|@xmath\d"
_ILLEGAL = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Discovery:
    """What a look at a file or folder found.

    Attributes:
        path: The file or folder.
        format: Never `auto`.
        encoding: Empty for formats that hold no plain characters.
        shape: Never `auto`.
        columns: All column names that were seen.
        rows: Records in all, rejected ones included; of intents, pairs.
        rejected: Reason word → number of records that cannot be read.
        examples: The first records as (last question, answer), or as (text,).
        mean_answer_words: White-space separated words of the last answer or of the text.
        notes: What a person should know before going on, one sentence each.
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


def look(path: Path) -> Discovery:
    """Read the whole file once and say what it holds.

    Raises:
        DataError: the file cannot be read, or it is not clear what its columns mean.
    """
    reading = resolve(Source(path=str(path)))
    counts = _Counts()
    for batch in batches(outcomes(reading), reading.name):
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
    )


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
    pairs = not isinstance(reading.shape, TextShape)
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


def recipe_yaml(discovery: Discovery, recipe_path: Path) -> str:
    """A commented recipe for the file, to be read and edited.

    Args:
        discovery: From `look`.
        recipe_path: Where the recipe will be written; the path to the data is relative to it.
    """
    copies = _copies(discovery)
    steps_per_epoch = max(1, math.ceil(TRAIN_SHARE * discovery.usable * (1 + copies) / BATCH_SIZE))
    epochs = min(MOST_EPOCHS, max(1, round(WANTED_STEPS / steps_per_epoch)))
    command_path = _one_line(shlex.quote(str(recipe_path)))
    return _RECIPE.format(
        file=_one_line(discovery.path.name),
        size=discovery.size,
        recipe=command_path,
        name=_scalar(_legal_name(discovery.path)),
        cut=_advice_for_large_files(discovery),
        share="0.1" if discovery.usable >= FEW else "0  ",
        too_few="" if discovery.usable >= FEW else "; with so few records, none",
        source=_source_lines(discovery, recipe_path),
        augment="{kind: rephrase, copies: 2}" if copies else "{kind: none}",
        augment_comment="the data is small" if copies else "{kind: rephrase, copies: 2} adds re-phrased questions",
        epochs=f"{epochs:<3}",
        steps=f"{epochs * steps_per_epoch:,}",
        batch_size=BATCH_SIZE,
    )


_RECIPE = """\
# A specialist trained on {file} ({size}).
#   pakar check {recipe}    is everything in order? Trains nothing.
#   pakar run {recipe}      prepare, train, evaluate, report.
# Whatever is not written here has its default.
{cut}
name: {name}    # of the directory below runs/

model:
  base: starter            # small, bundled, runs anywhere; or a local directory, or a hub id such as gpt2
  context_tokens: 512      # longest example in tokens, question and answer together

prepare:
  sources:
{source}
  split:
    validation: {share}        # share that chooses the best checkpoint
    test: {share}              # share kept apart for the final figures{too_few}
  augment: {augment}    # extra training rows by re-phrasing: {augment_comment}

train:
  method: {{kind: lora, rank: 16}}    # small additions to the weights; {{kind: full}} trains all of them
  epochs: {epochs}              # passes over the training rows: about {steps} steps; early stopping may end sooner
  batch_size: {batch_size}           # examples per step
  learning_rate: 2.0e-3    # high because the starter is tiny; use 2.0e-4 for larger models

evaluate:
  answers: 24              # test questions that both models answer; more of them narrow the intervals
"""

_COMMENTS = {
    "context": "    # added below the question where it is filled",
    "fallback": "    # used where the question is empty",
    "system": "    # how the assistant is told to behave",
}


def _advice_for_large_files(discovery: Discovery) -> str:
    if discovery.rows <= LARGE:
        return ""
    by_line = f"; `shuf -n {LARGE} FILE` prints such a part" if discovery.format == "jsonl" else ""
    return (
        f"#\n# {discovery.rows:,} records take long on a small machine. For a first try write {LARGE:,} of them\n"
        f"# into a file of their own{by_line}, and name that file below.\n"
    )


def _source_lines(discovery: Discovery, recipe_path: Path) -> str:
    lines = [f"    - path: {_scalar(_path_from(recipe_path, discovery.path))}", f"      format: {discovery.format}"]
    if discovery.encoding:
        lines.append(f"      encoding: {_scalar(discovery.encoding)}")
    lines.append("      shape:               # which columns are used, and for what")
    fields = discovery.shape.model_dump(exclude_none=True)
    return "\n".join(
        lines + [f"        {key}: {_scalar(value)}{_COMMENTS.get(key, '')}" for key, value in fields.items()]
    )


def _path_from(recipe_path: Path, path: Path) -> str:
    """`path` as seen from the recipe if it is near, so that both can be moved together; else in full."""
    relative = Path(os.path.relpath(path.resolve(), recipe_path.resolve().parent)).as_posix()
    return relative if relative.count("../") <= NEAR else str(path.resolve())


def _copies(discovery: Discovery) -> int:
    return COPIES if discovery.usable < SMALL and not isinstance(discovery.shape, TextShape) else 0


def _legal_name(path: Path) -> str:
    """The file's name without endings, of letters, digits, dot, hyphen and underscore: at most 64 of them."""
    name = path.resolve().name
    stem = name if path.is_dir() else re.sub(rf"\.{re.escape(ending(path))}(\.\w+)?$", "", name, flags=re.IGNORECASE)
    return _ILLEGAL.sub("-", stem)[:64].strip("-._").lower() or "my-data"


def _one_line(words: str) -> str:
    return " ".join(words.split())


def _scalar(value: object) -> str:
    """A YAML value on one line."""
    written = yaml.safe_dump(value, allow_unicode=True, width=math.inf).removesuffix("...\n").strip()
    return json.dumps(value) if "\n" in written else written
