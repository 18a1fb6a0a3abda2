"""The run directory: where everything is, what is finished, and what it was made from. Only this module knows file names.

A stage is finished if and only if its `stage.json` exists, and that file is written last. It holds the fingerprints of all
that went in (data, recipe section, base model, code), so a stage whose inputs are unchanged is skipped, and any other
is run again. `started.json` holds the same while the stage runs, so that an interrupted stage knows whether what it
finds was made from the same inputs and can be gone on with.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel

from pakar import files, progress, provenance, recipe_file, records, text
from pakar.conversation import Split
from pakar.errors import UserError, out_of_resources
from pakar.recipe import Model, Recipe
from pakar.records import STAGES, StageName

FORMAT = 1
"""Version of the run directory's layout."""


@dataclass(frozen=True)
class Run:
    """One run: its directory and its recipe."""

    directory: Path
    recipe: Recipe

    # Where things are.

    def stage_dir(self, stage: StageName) -> Path:
        """Everything that one stage wrote."""
        return self.directory / stage

    @property
    def base_dir(self) -> Path:
        """The base model, where the run makes it itself."""
        return self.directory / "base" / "model"

    def examples_dir(self, split: Split) -> Path:
        """Parquet files with the examples of one split."""
        return self.directory / "prepare" / "examples" / split

    @property
    def rejected_dir(self) -> Path:
        """Parquet files with every rejected row and its reason."""
        return self.directory / "prepare" / "rejected"

    def tokens_dir(self, split: Split) -> Path:
        """Token shards of one split."""
        return self.directory / "prepare" / "tokens" / split

    @property
    def ledger_file(self) -> Path:
        """Where every row went."""
        return self.directory / "prepare" / "ledger.json"

    @property
    def statistics_file(self) -> Path:
        """Words and tokens per column."""
        return self.directory / "prepare" / "statistics.json"

    @property
    def timings_file(self) -> Path:
        """Seconds that each operator of preparation took; not part of what preparation is judged by."""
        return self.directory / "prepare" / "timings.json"

    @property
    def excerpts_file(self) -> Path:
        """A few texts before and after each operator of preparation, for people."""
        return self.directory / "prepare" / "excerpts.json"

    @property
    def train_metrics_file(self) -> Path:
        """One JSON object per optimizer step."""
        return self.directory / "train" / "metrics.jsonl"

    @property
    def training_answers_file(self) -> Path:
        """Answers to validation questions at every measurement, one JSON object per answer."""
        return self.directory / "train" / "answers.jsonl"

    @property
    def training_file(self) -> Path:
        """Facts about the finished training: parameters, best step, why it ended."""
        return self.directory / "train" / "training.json"

    @property
    def training_failure_file(self) -> Path:
        """While several processes train: why the first one that failed did."""
        return self.directory / "train" / "failure.json"

    @property
    def training_origin_file(self) -> Path:
        """While a training runs: what it is made from, which goes into every checkpoint."""
        return self.directory / "train" / "origin.json"

    @property
    def checkpoints_dir(self) -> Path:
        """Resumable training states."""
        return self.directory / "train" / "checkpoints"

    @property
    def model_dir(self) -> Path:
        """The tuned model in Hugging Face or PEFT layout."""
        return self.directory / "train" / "model"

    def answers_file(self, system: str) -> Path:
        """Generated answers of one system, one JSON object per example."""
        return self.directory / "evaluate" / "answers" / f"{system}.jsonl"

    def scores_file(self, system: str) -> Path:
        """Scores of one system, one JSON object per example."""
        return self.directory / "evaluate" / "scores" / f"{system}.jsonl"

    @property
    def metrics_file(self) -> Path:
        """Metrics of all systems and their comparison."""
        return self.directory / "evaluate" / "metrics.json"

    @property
    def data_html(self) -> Path:
        """The page about the data, for people."""
        return self.directory / "data.html"

    @property
    def report_html(self) -> Path:
        """The report, for people."""
        return self.directory / "report.html"

    @property
    def report_json(self) -> Path:
        """The report, for programs."""
        return self.directory / "report.json"

    @property
    def model_card_file(self) -> Path:
        """What the tuned model is, for whom, and its limits."""
        return self.directory / "MODEL_CARD.md"

    def export_dir(self, kind: str) -> Path:
        """The tuned model as it is handed on, in one format."""
        return self.directory / "export" / kind

    @property
    def provenance(self) -> dict[str, Any]:
        """The content of run.json."""
        return dict(files.read_json(self.directory / "run.json"))

    # What it starts from.

    @property
    def model(self) -> Model:
        """The recipe's base model as it is found: one that the run makes itself is a local directory.

        A base on a hub has the revision that was trained, unless the recipe names one: what is there now may be another.
        """
        section = self.recipe.model
        if section.architecture is not None:
            return section.model_copy(update={"base": str(self.base_dir.absolute()), "architecture": None})
        base = (files.read_json_if_whole(self.directory / "run.json") or {}).get("base") or {}
        if section.revision is not None or base.get("name") != section.base:
            return section
        return section.model_copy(update={"revision": base.get("revision") or None})

    @property
    def stages(self) -> tuple[StageName, ...]:
        """The stages of this run, in order."""
        return STAGES if self.recipe.model.architecture is None else ("base", *STAGES)

    # What is finished.

    def record(self, stage: StageName) -> dict[str, Any]:
        """The stage.json of a finished stage.

        Raises:
            UserError: the stage has not finished.
        """
        record = records.read_record(self.stage_dir(stage) / "stage.json")
        if record is None:
            kept = records.earlier(self.stage_dir(stage))
            back = (
                f" `pakar {stage} RECIPE --restart` with the recipe as it was brings back the one in {kept}."
                if kept.exists()
                else ""
            )
            raise UserError(
                f"{self.directory}: {stage} has not finished yet",
                next_step=f"`pakar {stage} RECIPE`, or `pakar run RECIPE`.{back}",
            )
        return record

    def finished_model(self) -> Path:
        """The directory of the tuned model, with the files that its training left and no others.

        Raises:
            UserError: the training has not finished, or a file is not the one that it left, or the recipe's system prompt is
                another one than in the training.
        """
        directory, recorded = self.stage_dir("train"), self.record("train")["files"]
        of_model = {name: sha256 for name, sha256 in recorded.items() if name.startswith("model/")}
        changed = records.harmed(directory, of_model) + records.added(directory, of_model, "model")
        if changed:
            raise UserError(f"the tuned model in {self.directory} is not the one that was trained; since then changed, gone or added: {', '.join(changed)}",
                            next_step="put back the files as the training left them, or train again: `pakar train RECIPE`.")  # fmt: skip
        learnt, now = (
            files.read_json(self.model_dir / "pakar.json").get("system_prompt"),
            self.recipe.model.system_prompt,
        )
        if learnt is not None and learnt != now:
            raise UserError(f"model.system_prompt of {self.directory} has changed since the training: {_shortened(learnt)!r} then, {_shortened(now)!r} now",
                            next_step="put it back in the recipe, or run the recipe again, which trains with the new one.")  # fmt: skip
        return self.model_dir

    def output(self, stage: StageName, name: str) -> str:
        """Fingerprint of something that a finished stage wrote."""
        return str(self.record(stage)["outputs"][name])

    @contextmanager
    def stage(
        self,
        stage: StageName,
        inputs: Mapping[str, str],
        *,
        check: Callable[[], None] = lambda: None,
        saves: Path | None = None,
    ) -> Iterator[StageWork | None]:
        """Run a stage: yields None if it is finished and unchanged, else a StageWork to fill in.

        Args:
            stage: Which one.
            inputs: Fingerprints of everything that decides the outcome; code is added here.
            check: Refuses what cannot be done, before anything is touched.
            saves: For stages that are dear: where the stage saves what it can be gone on with from. What it saved is not thrown
                away when inputs change (the stage decides what becomes of it), and a finished stage stays until the new one
                has finished; it is put back if the new one ends before it has saved anything.
        """
        inputs = {**inputs, "code": records.code_fingerprint(stage)}
        directory = self.stage_dir(stage)
        if saves is not None:
            records.tidy(directory, saves)
        record = records.read_record(directory / "stage.json")
        if record is not None:
            changed = records.differences(record["inputs"], inputs) + records.harmed(directory, record["files"])
            if not changed:
                progress.note(f"{stage}: unchanged, skipped")
                yield None
                return
            progress.note(f"{stage}: runs again, because {', '.join(changed)} changed")
        check()
        if saves is not None:
            records.set_aside(directory)
        resumed = records.open_stage(directory, inputs, keep=saves is not None)
        work = StageWork(resumed=resumed)
        started = time.monotonic()
        try:
            yield work
        except BaseException:
            if saves is not None and not records.has_saved(saves):
                records.put_back(directory)
            raise
        finished = {
            "stage": stage, "inputs": inputs, "outputs": work.outputs, "counts": work.counts,
            "files": records.fingerprints(directory), "seconds": round(time.monotonic() - started, 3), "finished": provenance.now(),
        }  # fmt: skip
        files.write_json(directory / "stage.json", finished)
        (directory / "started.json").unlink(missing_ok=True)
        files.remove(records.earlier(directory))
        _write_provenance(self, work.provenance)


@dataclass
class StageWork:
    """What a stage tells about itself when it has finished.

    Attributes:
        resumed: The directory holds unfinished work made from the same inputs.
        outputs: Name → fingerprint; what later stages depend on.
        counts: Name → number, for people.
        provenance: Facts for run.json.
    """

    resumed: bool
    outputs: dict[str, str] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


def begin(recipe: Recipe, runs_dir: Path, command: Sequence[str] = ()) -> Run:
    """Create the run directory of a recipe, or take it up again; it stays locked until this process ends.

    Args:
        recipe: What to do; its name is the directory's.
        runs_dir: Where run directories are.
        command: What was typed, to be shown as the way to repeat the run. Empty: a command that reads the run's own recipe.

    Raises:
        UserError: another process works in it, or it cannot be written.
    """
    run = Run(runs_dir / recipe.name, recipe)
    lock = FileLock(run.directory / ".lock", timeout=0, is_singleton=True)
    try:
        run.directory.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UserError(f"another pakar process is working in {run.directory}",
                        next_step="wait for it, or give this run another name with --set name=…") from None  # fmt: skip
    except OSError as error:
        if out_of_resources(error) is not None:
            raise
        raise UserError(f"cannot create the run directory {run.directory}: {error.strerror}",
                        next_step="name another place with --runs-dir.") from None  # fmt: skip
    _held_locks[run.directory.resolve()] = lock
    files.sweep(run.directory)
    files.write_text(run.directory / "recipe.yaml", recipe_file.dump(recipe))
    repeat = list(command) or ["pakar", "run", str(run.directory / "recipe.yaml")]
    _write_provenance(run, {"command": repeat})
    return run


_held_locks: dict[Path, FileLock] = {}  # a lock ends with its object, so they live as long as the process


def find(name: str, runs_dir: Path) -> Run:
    """An existing run, by its name in `runs_dir` or by its path.

    A name is looked for in `runs_dir` first: a folder of the project that is called the same is no run.

    Raises:
        UserError: there is none.
    """
    for directory in (runs_dir / name, Path(name)):
        if _is_run(directory):
            return Run(directory, recipe_file.load(directory / "recipe.yaml"))
    known = sorted(p.parent.name for p in runs_dir.glob("*/run.json"))
    raise UserError(f"there is no run {_shortened(name)!r} in {runs_dir}; there is: {', '.join(known) or 'none'}",
                    next_step="`pakar run RECIPE` makes one.")  # fmt: skip


def _shortened(words: str, letters: int = 80) -> str:
    """As much of it as an error repeats."""
    return words if len(words) <= letters else f"{words[:letters]}…"


def _is_run(directory: Path) -> bool:
    """Whether Pakar began a run here; a recipe alone may lie anywhere."""
    try:
        return all((directory / name).is_file() for name in ("recipe.yaml", "run.json"))
    except (OSError, ValueError):  # no path can be called so
        return False


def section_fingerprint(section: BaseModel) -> str:
    """Fingerprint of a part of the recipe."""
    return text.fingerprint(json.dumps(section.model_dump(mode="json"), sort_keys=True))


def _write_provenance(run: Run, facts: Mapping[str, Any]) -> None:
    """Write run.json: everything needed to know how this run came to be. `facts` are added to those already there."""
    path = run.directory / "run.json"
    known = files.read_json_if_whole(path) or {}
    states = {}
    for stage in run.stages:
        record = records.read_record(run.stage_dir(stage) / "stage.json")
        states[stage] = {"finished": record is not None, **({"seconds": record["seconds"]} if record else {})}
    base = {"name": run.recipe.model.base, "revision": run.recipe.model.revision}
    files.write_json(
        path,
        {
            "format": FORMAT,
            "name": run.recipe.name,
            "written": provenance.now(),
            "command": known.get("command"),
            "seed": run.recipe.seed,
            "recipe_fingerprint": section_fingerprint(run.recipe),
            "base": known.get("base", base),
            "versions": provenance.versions(),
            "git": provenance.git(),
            "hardware": provenance.hardware(),
            "stages": states,
            **facts,
        },
    )
