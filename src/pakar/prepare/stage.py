"""From raw files to examples in three splits, token shards, a ledger and statistics. Reads top to bottom."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pakar import examples, files, progress, recipe, text
from pakar.conversation import SPLITS
from pakar.errors import DataError
from pakar.models import base as base_models
from pakar.models.prompt import renderer as prompt_renderer
from pakar.prepare import executor, inputs, shown, sources, split
from pakar.prepare.augment import add_rephrased
from pakar.prepare.clean import Job, clean, raw_pieces, rows_in
from pakar.prepare.deal import deal, deal_pieces
from pakar.prepare.decide import decide
from pakar.prepare.describe import Facts, describe
from pakar.prepare.executor import Executor, Piece, Report, Task
from pakar.prepare.gather import LEARNT, gather, gather_pieces
from pakar.prepare.ledger import Ledger
from pakar.run import Run


def prepare(run: Run) -> None:
    """Prepare the data of a run.

    Raises:
        DataError: the data cannot be used.
        RecipeError: the base model cannot be found.
    """
    section = run.recipe.prepare
    base = base_models.find(run.model)
    renderer = prompt_renderer(base.tokenizer(), run.recipe.model.system_prompt)
    context_tokens = min(run.recipe.model.context_tokens, base.context_limit())
    with run.stage("prepare", inputs.fingerprints(run.recipe, renderer, context_tokens) | _made(run)) as work:
        if work is None:
            return
        readings = tuple(sources.resolve(source) for source in section.sources)
        directory = run.stage_dir("prepare").absolute()
        whole = run.recipe.model_copy(update={"model": run.model}).model_dump_json()
        job = Job(whole, readings, directory, context_tokens, renderer.fingerprint)
        ledger = Ledger()
        with executor.start(section.executor) as workers:
            steps = Steps(workers)
            # 1. Shards of the sources → cleaned, tokenised rows with their keys; rejected rows.
            sharded = [sources.shards(reading, number) for number, reading in enumerate(readings)]
            pieces = raw_pieces(job, sharded)
            cleaned = steps.map("reading and cleaning", functools.partial(clean, job), pieces, rows_in(sharded))
            ledger.add_cleaned(cleaned)
            ledger.check_unreadable(section.max_unreadable)
            _check_something_is_left(ledger)
            # 2. Keys of all rows → which are left out (duplicates, sample), which go to which split, in which order.
            with_rows = [report for report in cleaned if report["kept"]]
            with steps.timed("deciding"):
                decision = decide(job.spool, with_rows, section, run.recipe.seed)
            # 3. Cleaned rows → the output files they belong to.
            left = sum(report["kept"] for report in with_rows)
            steps.map("dealing out", functools.partial(deal, job), deal_pieces(job, with_rows), left)
            # 4. Output files: examples, and token shards for what training reads.
            outputs = gather_pieces(job, decision)
            gathered = steps.map("writing", functools.partial(gather, job), outputs, sum(decision.rows.values()))
        # 5. Re-phrase training rows.
        with steps.timed("re-phrasing"):
            ledger.augmented = add_rephrased(job, run.recipe, decision.files)
        # 6. Balance the books: every row in was kept or rejected, no group and no question was parted.
        ledger.add_decision(decision)
        ledger.add_gathered(gathered)
        ledger.groups_crossing += _crossings(run)
        ledger.check()
        operators = [one.kind for one in section.operators]
        files.write_json(run.ledger_file, ledger.as_json(operators))
        facts = Facts(cleaned, gathered, decision.sources, ledger.rejected, context_tokens)
        files.write_json(run.statistics_file, describe(run, readings, facts))
        files.write_json(run.excerpts_file, shown.collect(run, (report["excerpts"] for report in cleaned), renderer))
        files.write_json(run.timings_file, ledger.timings(operators, steps.seconds))
        files.remove(job.spool.directory)
        files.sweep(job.directory)  # of workers that were killed
        work.outputs = _outputs(run, gathered)
        work.counts = {"rows_in": ledger.rows_in, "kept": ledger.kept, "augmented": ledger.augmented}
        _say(ledger, section.split, context_tokens)


@dataclass
class Steps:
    """Runs the steps of preparation and remembers how long each took.

    Attributes:
        executor: Does the work.
        seconds: Step → time.
    """

    executor: Executor
    seconds: dict[str, float] = field(default_factory=dict)

    def map(self, title: str, task: Task, pieces: Iterable[Piece], rows: int | None) -> list[Report]:
        """The reports of all pieces of a step, in their order; `rows` is how many rows they have in all, if that is known."""
        reports = []
        with self.timed(title), progress.track(title, rows, unit="rows") as tracker:
            for report in executor.run_step(self.executor, task, pieces):
                reports.append(report)
                tracker.advance(report["rows"])
        return sorted(reports, key=lambda report: int(report["number"]))

    @contextmanager
    def timed(self, title: str) -> Iterator[None]:
        """Remember how long the block took."""
        started = time.perf_counter()
        yield
        self.seconds[title] = time.perf_counter() - started


def _made(run: Run) -> dict[str, str]:
    """Fingerprint of the tokenizer that the run has made itself; two may agree on the few texts that a template is known by."""
    return {} if run.recipe.model.architecture is None else {"tokenizer": run.output("base", "tokenizer")}


def _say(ledger: Ledger, wanted: recipe.Split, context_tokens: int) -> None:
    if ledger.added:
        records = ledger.rows_in - ledger.added
        progress.note(f"{records:,} records came in; cutting long ones made {ledger.added:,} rows more of them")
    progress.note(
        f"prepare: {ledger.rows_in:,} rows in = {ledger.kept:,} kept + {ledger.rejected.total():,} rejected ({ledger.summary()})"
    )
    if cut := ledger.changed["truncate"]:
        progress.warn(
            f"rows over {context_tokens} tokens that lost their end: {cut:,}; see model.context_tokens and prepare.too_long"
        )
    if ledger.flagged:
        marked = ", ".join(f"{flag} {rows:,}" for flag, rows in ledger.flagged.most_common())
        progress.warn(f"rows marked for a person to look at: {marked}; see the `flags` column of prepare/examples")
    for miss in split.misses({name: ledger.splits[name] for name in SPLITS}, wanted):
        progress.warn(miss)


def _outputs(run: Run, gathered: Iterable[Report]) -> dict[str, str]:
    root = run.stage_dir("prepare")
    shard_files = [path for name in LEARNT for path in run.tokens_dir(name).glob("*.arrow")]
    return {
        "tokens": files.tree_sha256(shard_files, root),
        "test": text.fingerprint(*(report["fingerprint"] for report in gathered if report["split"] == "test")),
        "ledger": files.sha256(run.ledger_file),
        "statistics": files.sha256(run.statistics_file),
    }


def _check_something_is_left(ledger: Ledger) -> None:
    if not ledger.rows_in:
        raise DataError("the sources hold no rows", next_step="look at prepare.sources in the recipe.")
    if ledger.rows_in == ledger.rejected.total():
        most = ledger.rejected.most_common(1)[0][0]
        advice = (
            "are question and answer columns named rightly?"
            if most.startswith("empty")
            else f"most were rejected as {most}; `pakar plan RECIPE --show 5` shows why."
        )
        raise DataError(f"all {ledger.rows_in:,} rows were rejected: {ledger.summary()}",
                        next_step=f"see prepare/rejected in the run directory; {advice}")  # fmt: skip


def _crossings(run: Run) -> int:
    """Groups that stand in more than one split, counted in the files that were written."""
    return split.crossing_names(examples.groups(run.examples_dir(name)) for name in SPLITS)
