"""START HERE. The whole program in one function: each stage reads what the one before it left in the run directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pakar.evaluate.report import write
from pakar.evaluate.stage import evaluate
from pakar.prepare.scratch.stage import make_base
from pakar.prepare.stage import prepare
from pakar.recipe import Recipe
from pakar.run import Run, begin
from pakar.train import plan
from pakar.train.stage import train


def run_all(recipe: Recipe, runs_dir: Path, command: Sequence[str] = (), *, restart: bool = False) -> Run:
    """Turn data into a tuned, measured model. Stages whose inputs are unchanged are skipped.

    Args:
        recipe: What to do.
        runs_dir: Where run directories are; the run's has the recipe's name.
        command: What was typed, shown in the report as the way to repeat the run.
        restart: Throw an unfinished training away instead of going on with it.

    Raises:
        UserError: something the user can mend; what is finished stays finished.
    """
    # 1. Refuse what cannot be trained here, before time goes into its data; take up the run directory, or make it.
    plan.check(recipe)
    run = begin(recipe, runs_dir, command)
    # 2. Where the recipe names an architecture: a tokenizer learnt from the sources, and random weights.
    make_base(run)
    # 3. Raw files → clean examples in three splits, a ledger of every row, token shards.
    prepare(run)
    # 4. Token shards → the tuned model, from the checkpoint with the lowest validation loss.
    train(run, restart=restart)
    # 5. Base and tuned model answer the test questions → scores, intervals.
    evaluate(run)
    # 6. Everything above → report.html, report.json, MODEL_CARD.md.
    write(run)
    return run
