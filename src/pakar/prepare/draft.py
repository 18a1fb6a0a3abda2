"""A commented recipe for a data file that was looked at: what a newcomer reads, edits and runs."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
from pathlib import Path

import yaml

from pakar.prepare.discover import Discovery, address
from pakar.prepare.sources.formats import ending
from pakar.recipe import TextShape, TurnsShape
from pakar.recipe.sources import HUB

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

_ILLEGAL = re.compile(r"[^A-Za-z0-9._-]+")


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
    "passage_words": "    # documents are cut into passages of about so many words",
    "conversation": "    # which conversation a message belongs to",
    "assistant": "    # whose words are learnt; empty: agent, bot, assistant and the like",
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
    lines = [f"    - path: {_scalar(_path_from(recipe_path, discovery.path))}", *_format_lines(discovery)]
    if discovery.encoding:
        lines.append(f"      encoding: {_scalar(discovery.encoding)}")
    lines.append("      shape:               # which columns are used, and for what")
    fields = discovery.shape.model_dump(exclude_none=True)
    if discovery.format not in {"folder", "document"}:
        fields.pop("passage_words", None)
    if discovery.label:
        label = f"      label: {_scalar(discovery.label)}    # sorts the rows into kinds, for stratified samples"
        lines.insert(-1, label)
    return "\n".join(
        lines + [f"        {key}: {_scalar(value)}{_COMMENTS.get(key, '')}" for key, value in fields.items()]
    )


def _format_lines(discovery: Discovery) -> list[str]:
    """Nothing where the address tells it."""
    return [] if discovery.format == "hub" else [f"      format: {discovery.format}"]


def _path_from(recipe_path: Path, path: Path) -> str:
    """`path` as seen from the recipe if it is near, so that both can be moved together; else in full."""
    if address(path).startswith(HUB):
        return address(path)
    relative = Path(os.path.relpath(path.resolve(), recipe_path.resolve().parent)).as_posix()
    return relative if relative.count("../") <= NEAR else str(path.resolve())


def _copies(discovery: Discovery) -> int:
    return COPIES if discovery.usable < SMALL and not isinstance(discovery.shape, TextShape | TurnsShape) else 0


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
