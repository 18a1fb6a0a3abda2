"""What looks on while a training runs and changes nothing in it: the terminal, the trackers, the answers to validation questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from pakar import examples, files, progress
from pakar.models import base as base_models
from pakar.models.prompt import renderer
from pakar.run import Run
from pakar.train import answers, trackers
from pakar.train.answers import Questions
from pakar.train.display import Display, Standing, showing
from pakar.train.trackers import Tracker
from pakar.train.training import Training


@dataclass
class Watch:
    """Who looks on; see `watching`.

    Attributes:
        training: What is looked at.
        display: At the terminal.
        tracked: Programs that get the metrics.
        questions: Asked at every measurement; None: none are.
        before: Mean scores of the untrained model's answers.
        warning: What was wrong with the latest answers, once it was told.
    """

    training: Training
    display: Display
    tracked: list[Tracker]
    questions: Questions | None
    before: Mapping[str, float]
    warning: str | None = None

    def complete(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The record of a step with the scores of the answers, where the step was measured."""
        if self.questions is None or "validation_loss" not in record:
            return dict(record)
        scores = _ask(self.questions, self.training)
        state = self.training.state
        if self.warning is None and 2 * state.step >= self.training.total_steps:  # untrained models stop badly, too
            self.warning = answers.warning(self.before, scores, self.questions.can_end())
            if self.warning:
                progress.warn(f"step {state.step}: {self.warning}")
        return {**record, **scores}

    def facts(self) -> dict[str, Any]:
        """For training.json: the mean scores before training and of the step that was kept, and what is wrong with its answers."""
        if self.questions is None:
            return {}
        kept = self.questions.at(self.training.state.best_step)
        return {
            "answers": {"asked": len(self.questions.asked), "before": dict(self.before), "kept": kept},
            "answers_warning": answers.warning(self.before, kept, self.questions.can_end()),
        }

    def show(self, record: Mapping[str, Any]) -> None:
        """Show a record that has been written."""
        self.display.add(record)
        for tracker in self.tracked:
            tracker.add(record)


@contextmanager
def watching(run: Run, training: Training) -> Iterator[Watch]:
    """Look on while the block runs, as the leader of a team. Files are first cut back to where the training stands, or begun.

    Args:
        run: Whose; its metrics.jsonl is already cut back.
        training: At its first step, or restored.
    """
    state, section = training.state, run.recipe.train
    standing = Standing(state.step, training.total_steps, state.best_loss, state.best_step, state.last_loss)
    if not training.team.leads:
        yield Watch(training, Display(standing), [], None, {})
        return
    questions = _questions(run)
    before: Mapping[str, float] = {}
    if questions is not None:
        questions.forget_after(state.step)
        before = questions.at(0) or (_ask(questions, training) if state.step == 0 else {})
    with ExitStack() as stack:
        past = files.read_json_lines(run.train_metrics_file) if section.trackers else []
        parameters = run.recipe.model_dump(mode="json")
        tracked = stack.enter_context(
            trackers.tracking(
                section.trackers, run.stage_dir("train"), run_name=run.recipe.name, parameters=parameters, past=past
            )
        )
        yield Watch(training, stack.enter_context(showing(standing)), tracked, questions, before)


def _questions(run: Run) -> Questions | None:
    wanted = run.recipe.train.validation.answers
    if not wanted:
        return None
    if getattr(run.recipe.train.launch, "sharding", "none") != "none":
        progress.warn(
            "train.validation.answers: no questions are asked while the model is spread over several processes"
        )
        return None
    asked = examples.choose(examples.read(run.examples_dir("validation")), wanted, run.recipe.seed)
    if not asked:
        progress.warn("train.validation.answers: the validation split holds no questions, so none are asked")
        return None
    base = base_models.find(run.model)
    prompts = renderer(base.tokenizer(), run.recipe.model.system_prompt)
    context_tokens = min(run.recipe.model.context_tokens, base.context_limit())
    return Questions(asked, prompts, context_tokens, run.recipe.evaluate, run.training_answers_file)


def _ask(questions: Questions, training: Training) -> dict[str, float]:
    """With the model itself, outside of what training wraps around it."""
    model: Any = training.accelerator.unwrap_model(training.model)
    with training.accelerator.autocast():
        return questions.ask(model, training.state.step)
