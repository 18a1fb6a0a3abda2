"""From raw files to examples in three splits, token shards, a ledger and statistics. Reads top to bottom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from pakar import examples, files, progress, recipe, text
from pakar.conversation import SPLITS, Split
from pakar.errors import DataError
from pakar.models import base as base_models
from pakar.models.prompt import Renderer
from pakar.models.prompt import renderer as prompt_renderer
from pakar.prepare import augment, local, sources, split, statistics
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
        _check_something_is_left(ledger, streamed.groups)
        # 2. Decide which group of rows goes to which split.
        assigned = split.assign(streamed.groups, section.split, run.recipe.seed)
        # 3. Write the examples of each split; re-phrase training rows.
        rows = pl.read_parquet(streamed.rows).with_columns(
            pl.col("group").replace_strict(assigned, return_dtype=pl.String).alias("split")
        )
        frames = {name: rows.filter(pl.col("split") == name).drop("split") for name in SPLITS}
        extra = _augmented(frames["train"], run.recipe, renderer, context_tokens, set(assigned))
        for name in SPLITS:
            _write_examples(run.examples_dir(name), frames[name], extra if name == "train" else None)
        # 4. Write token shards for what training reads.
        write_shards(run.tokens_dir("train"), [frames["train"], extra], context_tokens)
        write_shards(run.tokens_dir("validation"), [frames["validation"]], context_tokens)
        # 5. Balance the books: every row in was kept or rejected, no group was parted.
        ledger.splits.update({name: len(frame) for name, frame in frames.items()})
        ledger.kept, ledger.augmented = len(rows), len(extra)
        ledger.groups_crossing = _crossings([*frames.items(), ("train", extra)])
        ledger.check()
        files.write_json(run.ledger_file, ledger.as_json())
        files.write_json(run.statistics_file, statistics.describe(rows))
        files.remove(spool)
        work.outputs = _outputs(run)
        work.counts = {"rows_in": ledger.rows_in, "kept": ledger.kept, "augmented": ledger.augmented}
        if cut := ledger.changed["truncate"]:
            progress.warn(
                f"{cut:,} rows are longer than {context_tokens} tokens and lost their end; see model.context_tokens, prepare.too_long"
            )
        progress.note(
            f"prepare: {ledger.rows_in:,} rows in = {ledger.kept:,} kept + {ledger.rejected.total():,} rejected ({ledger.summary()})"
        )


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


def _outputs(run: Run) -> dict[str, str]:
    root = run.stage_dir("prepare")
    shard_files = [path for name in ("train", "validation") for path in run.tokens_dir(name).glob("*.arrow")]
    return {
        "tokens": files.tree_sha256(shard_files, root),
        "test": files.tree_sha256(run.examples_dir("test").glob("*.parquet"), root),
        "ledger": files.sha256(run.ledger_file),
        "statistics": files.sha256(run.statistics_file),
    }


def _check_something_is_left(ledger: Ledger, groups: Mapping[str, int]) -> None:
    if not ledger.rows_in:
        raise DataError("the sources hold no rows", next_step="look at prepare.sources in the recipe.")
    if not groups:
        raise DataError(f"all {ledger.rows_in:,} rows were rejected: {ledger.summary()}",
                        next_step="see prepare/rejected in the run directory; are question and answer columns named rightly?")  # fmt: skip


def _augmented(
    train: pl.DataFrame, whole: recipe.Recipe, renderer: Renderer, context_tokens: int, asked: set[str]
) -> pl.DataFrame:
    """Re-phrased training rows in SPOOL columns; each belongs to the group of the row it was made from."""
    section = whole.prepare.augment
    if section.kind == "none":
        return train.clear()
    made = augment.rephrase(train, section, asked, whole.seed)
    parents = {row["id"]: row for row in train.select("id", "group", "source", "offset", "part").iter_rows(named=True)}
    rows = [
        {
            **parents[parent],
            "id": text.fingerprint(*(part for message in messages for part in message)),
            "messages": [message._asdict() for message in messages],
            "augmented": True,
        }
        for parent, messages in made
    ]
    frame = render(pl.DataFrame(rows, schema=examples.SCHEMA), renderer, context_tokens)
    return frame.filter(pl.col("loss_mask").list.contains(1)).select(train.columns)


def _write_examples(directory: Path, rows: pl.DataFrame, extra: pl.DataFrame | None) -> None:
    folder = Folder(directory, examples.SCHEMA)
    folder.add(rows)
    if extra is not None:
        folder.add(extra)
    folder.close()


def _crossings(frames: list[tuple[Split, pl.DataFrame]]) -> int:
    found: dict[str, set[str]] = {}
    for name, frame in frames:
        for group in _unique_groups(frame):
            found.setdefault(group, set()).add(name)
    return split.crossings(found)


def _unique_groups(frame: pl.DataFrame) -> Iterator[str]:
    yield from frame["group"].unique()
