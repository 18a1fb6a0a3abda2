"""From raw files to examples in three splits, token shards, a ledger and statistics. Reads top to bottom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from pakar import examples, files, progress, recipe, text
from pakar.conversation import SPLITS, Split
from pakar.errors import DataError
from pakar.examples import schema
from pakar.models import base as base_models
from pakar.models.prompt import Renderer
from pakar.models.prompt import renderer as prompt_renderer
from pakar.prepare import augment, keys, local, sources, split, statistics
from pakar.prepare.ledger import Ledger
from pakar.prepare.operators.context import render
from pakar.prepare.tables import Folder
from pakar.prepare.tokenise import write_shards
from pakar.run import Run, section_fingerprint


def prepare(run: Run) -> None:
    """Prepare the data of a run.

    Raises:
        DataError: the data cannot be used.
        RecipeError: the base model cannot be found.
    """
    section = run.recipe.prepare
    base = base_models.find(run.recipe.model)
    renderer = prompt_renderer(base.tokenizer(), run.recipe.model.system_prompt)
    context_tokens = min(run.recipe.model.context_tokens, base.context_limit())
    with run.stage("prepare", _inputs(run.recipe, renderer, context_tokens)) as work:
        if work is None:
            return
        # 1. Read, clean, reject: one pass over the sources, cleaned rows go to a spool.
        spool = run.stage_dir("prepare") / "spool"
        streamed = local.stream(section, renderer, context_tokens, spool, run.rejected_dir)
        ledger = streamed.ledger
        _check_something_is_left(ledger, streamed.questions)
        # 2. Decide which group of rows goes to which split.
        group_of = {question: streamed.groups.of(question) for question in streamed.questions}
        sizes: Counter[str] = Counter()
        for question, count in streamed.questions.items():
            sizes[group_of[question]] += count
        assigned = split.assign(sizes, section.split, run.recipe.seed)
        # 3. Write the examples of each split, in an order of their own; re-phrase training rows.
        frames = _deal(pl.read_parquet(streamed.rows), group_of, assigned, run.recipe.seed)
        extra = _augmented(frames, run.recipe, renderer, context_tokens)
        for name in SPLITS:
            _write_examples(run.examples_dir(name), [frames[name], *([extra] if name == "train" else [])])
        # 4. Write token shards for what training reads.
        write_shards(run.tokens_dir("train"), [frames["train"], extra], context_tokens)
        write_shards(run.tokens_dir("validation"), [frames["validation"]], context_tokens)
        # 5. Balance the books: every row in was kept or rejected, no group and no question was parted.
        ledger.splits.update({name: len(frame) for name, frame in frames.items()})
        ledger.kept, ledger.augmented = ledger.splits.total(), len(extra)
        ledger.groups_crossing = _crossings(frames, extra)
        ledger.check()
        files.write_json(run.ledger_file, ledger.as_json())
        files.write_json(run.statistics_file, statistics.describe(pl.concat(frames.values())))
        files.remove(spool)
        work.outputs = _outputs(run, frames["test"])
        work.counts = {"rows_in": ledger.rows_in, "kept": ledger.kept, "augmented": ledger.augmented}
        _say(ledger, section.split, context_tokens)


def _say(ledger: Ledger, wanted: recipe.Split, context_tokens: int) -> None:
    progress.note(
        f"prepare: {ledger.rows_in:,} rows in = {ledger.kept:,} kept + {ledger.rejected.total():,} rejected ({ledger.summary()})"
    )
    if cut := ledger.changed["truncate"]:
        progress.warn(
            f"rows over {context_tokens} tokens that lost their end: {cut:,}; see model.context_tokens and prepare.too_long"
        )
    for miss in split.misses({name: ledger.splits[name] for name in SPLITS}, wanted):
        progress.warn(miss)


def _deal(
    rows: pl.DataFrame, group_of: Mapping[str, str], assigned: Mapping[str, Split], seed: int
) -> dict[Split, pl.DataFrame]:
    """The rows of each split, ordered by seed and content, so that the order of the file decides nothing."""
    group = pl.col("question").replace_strict(group_of, return_dtype=pl.String)
    rows = rows.with_columns(group.alias("group")).with_columns(
        pl.col("group").replace_strict(assigned, return_dtype=pl.String).alias("split"),
        pl.Series("place", [text.seeded(seed, identity) for identity in rows["id"]], pl.String),
    )
    rows = rows.sort("place")
    return {name: rows.filter(pl.col("split") == name).drop("split", "place") for name in SPLITS}


def _inputs(whole: recipe.Recipe, renderer: Renderer, context_tokens: int) -> dict[str, str]:
    """What decides the outcome. Paths of sources do not: their content does."""
    nameless = tuple(source.model_copy(update={"path": Path(source.path).name}) for source in whole.prepare.sources)
    return {
        "prepare section": section_fingerprint(whole.prepare.model_copy(update={"sources": nameless})),
        "source files": text.fingerprint(*(sources.fingerprint(source) for source in whole.prepare.sources)),
        "seed": str(whole.seed),
        "prompt template": renderer.fingerprint,
        "context length": str(context_tokens),
    }


def _outputs(run: Run, test: pl.DataFrame) -> dict[str, str]:
    root = run.stage_dir("prepare")
    learnt: tuple[Split, ...] = ("train", "validation")
    shard_files = [path for name in learnt for path in run.tokens_dir(name).glob("*.arrow")]
    return {
        "tokens": files.tree_sha256(shard_files, root),
        "test": text.fingerprint(*test["id"], *test["group"]),
        "ledger": files.sha256(run.ledger_file),
        "statistics": files.sha256(run.statistics_file),
    }


def _check_something_is_left(ledger: Ledger, questions: Mapping[str, int]) -> None:
    if not ledger.rows_in:
        raise DataError("the sources hold no rows", next_step="look at prepare.sources in the recipe.")
    if not questions:
        raise DataError(f"all {ledger.rows_in:,} rows were rejected: {ledger.summary()}",
                        next_step="see prepare/rejected in the run directory; are question and answer columns named rightly?")  # fmt: skip


def _augmented(
    frames: Mapping[Split, pl.DataFrame], whole: recipe.Recipe, renderer: Renderer, context_tokens: int
) -> pl.DataFrame:
    """Re-phrased training rows in SPOOL columns; each belongs to the group of the row it was made from."""
    section, train = whole.prepare.augment, frames["train"]
    if section.kind == "none":
        return train.clear()
    asked = {key for frame in frames.values() for row in frame["messages"].to_list() for key in keys.message_keys(row)}
    made = augment.rephrase(train, section, asked, whole.seed)
    parents = {row["id"]: row for row in train.select("id", "group", "source", "offset", "part").iter_rows(named=True)}
    rows = [
        {
            **parents[parent],
            "id": text.fingerprint(*(part for message in messages for part in message)),
            "question": keys.question_key([message.content for message in messages if message.role == "user"]),
            "messages": [message._asdict() for message in messages],
            "augmented": True,
        }
        for parent, messages in made
    ]
    columns = schema({**examples.SCHEMA, "question": pl.String})
    frame = render(pl.DataFrame(rows, schema=columns), renderer, context_tokens)
    return frame.filter(pl.col("loss_mask").list.contains(1)).select(train.columns)


def _write_examples(directory: Path, parts: list[pl.DataFrame]) -> None:
    folder = Folder(directory, examples.SCHEMA)
    for rows in parts:
        folder.add(rows)
    folder.close()


def _crossings(frames: Mapping[Split, pl.DataFrame], extra: pl.DataFrame) -> int:
    """Groups, and single questions, that stand in more than one split."""
    trained = {"train": pl.concat([frames["train"], extra]), "validation": frames["validation"], "test": frames["test"]}
    return sum(
        split.crossings({name: frame[column].to_list() for name, frame in trained.items()})
        for column in ("group", "question")
    )
