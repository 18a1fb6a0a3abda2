"""Extra training rows, made after the split from training rows only; marked, and never counted as new evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from pakar import examples, files, text
from pakar.conversation import SPLITS, Conversation, Message, conversation
from pakar.prepare import keys, rephrase
from pakar.prepare.clean import Job, tools
from pakar.prepare.gather import PART, write
from pakar.prepare.operators.context import render
from pakar.recipe import Augment, NoAugmentation, Recipe, Rephrase

Rephraser = Callable[[Sequence[str]], list[list[str]]]
"""Questions → for each of them, other ways to ask the same."""

Made = list[tuple[str, Conversation]]
"""(id of the row it was made from, new messages) for each new row."""


def rephraser(section: Augment) -> Rephraser | None:
    """What re-phrases questions; None: nothing does.

    Raises:
        RecipeError: a model cannot be loaded.
    """
    match section:
        case NoAugmentation():
            return None
        case Rephrase():
            return rephrase.by_rules
        case _:
            from pakar.prepare import paraphrase  # noqa: PLC0415 - torch is needed for models only

            return paraphrase.load(section)


def add_rephrased(job: Job, recipe: Recipe, outputs: Mapping[str, int]) -> int:
    """Write re-phrased training rows into files of their own; returns how many.

    What is already asked in any split is not made: it could carry a test question into training. Works through one file of
    training rows at a time.

    Args:
        job: The run's.
        recipe: Says how many copies.
        outputs: Split → its files; those added to training are numbered on.
    """
    section = recipe.prepare.augment
    ways = rephraser(section)
    if ways is None or isinstance(section, NoAugmentation):
        return 0
    folder = job.directory / "examples"
    parts = {split: [folder / split / PART.format(number) for number in range(outputs[split])] for split in SPLITS}
    forget(job, parts["train"])
    asked = {key for paths in parts.values() for path in paths for key in _asked(path)}
    added = 0
    for number, path in enumerate(parts["train"]):
        train = pl.read_parquet(path)
        extra = _rows(job, train, rephrased(train, ways, section.copies, asked, seed=recipe.seed))
        if len(extra):
            write(job, "train", len(parts["train"]) + number, extra)
        added += len(extra)
    return added


def forget(job: Job, parts: Sequence[Path]) -> None:
    """Remove what an earlier, broken run has added to these files of training rows: it must not decide what is made now."""
    for path in set(parts[0].parent.glob("*.parquet")) - set(parts):
        files.remove(path)
        files.remove(job.directory / "tokens" / "train" / path.with_suffix(".arrow").name)


def rephrased(train: pl.DataFrame, ways: Rephraser, copies: int, asked: set[str], *, seed: int) -> Made:
    """New conversations for training rows with exactly one question.

    Args:
        train: Training examples in `examples.SCHEMA`.
        ways: Knows other ways to ask.
        copies: At most so many of each row.
        asked: `text.fingerprint(text.key(question))` of every user message in every split; none is made again. Grows.
        seed: Chooses among the possible re-phrasings.

    Returns:
        New rows, ordered by the id of the row they were made from: the order of the rows decides nothing.
    """
    rows = [
        (identity, turns, place)
        for identity, turns in _conversations(train.sort("id", maintain_order=True))
        for place in [_only_question(turns)]
        if place is not None
    ]
    found = ways([turns[place].content for _, turns, place in rows])
    made: Made = []
    for (identity, turns, place), candidates in zip(rows, found, strict=True):
        shuffled = sorted(dict.fromkeys(candidates), key=lambda one, name=identity: text.seeded(seed, name + one))  # type: ignore[misc]
        fresh = [one for one in shuffled if text.fingerprint(text.key(one)) not in asked][:copies]
        for candidate in fresh:
            asked.add(text.fingerprint(text.key(candidate)))
            made.append((identity, (*turns[:place], Message("user", candidate), *turns[place + 1 :])))
    return made


def _conversations(rows: pl.DataFrame) -> Iterator[tuple[str, Conversation]]:
    for identity, messages in rows.select("id", "messages").iter_rows():
        yield identity, conversation(messages)


def _only_question(turns: Conversation) -> int | None:
    places = [place for place, message in enumerate(turns) if message.role == "user"]
    return places[0] if len(places) == 1 else None


def _asked(path: Path) -> Iterator[str]:
    for messages in pl.read_parquet(path, columns=["messages"])["messages"].to_list():
        yield from keys.message_keys(messages)


def _rows(job: Job, train: pl.DataFrame, made: Made) -> pl.DataFrame:
    """New rows with tokens; each belongs to the group of the row it was made from. What does not fit is left out."""
    parents = {row["id"]: row for row in train.drop("messages", "augmented").iter_rows(named=True)}
    rows = [
        {
            **parents[parent],
            "id": keys.identity(messages),
            "messages": [message._asdict() for message in messages],
            "augmented": True,
        }
        for parent, messages in made
    ]
    frame = render(pl.DataFrame(rows, schema=examples.SCHEMA), tools(job).renderer, job.context_tokens)
    return frame.filter(pl.col("loss_mask").list.contains(1))
