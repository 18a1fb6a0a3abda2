"""Evaluate: both systems score the test split's answers and write their own; figures with intervals come out.

Generate → log → score are separate steps: answers are kept on disk, and scoring reads them from there. Whoever changes
only how they are scored gets the same answers again, without a model: see `kept.py`.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence

from pakar import examples, files, models
from pakar.conversation import Example
from pakar.engine.local import LocalEngine
from pakar.evaluate import answers, kept, likelihood, scores, summary, systems
from pakar.evaluate.kept import Kept
from pakar.evaluate.likelihood import Likelihood
from pakar.evaluate.scores import Score
from pakar.evaluate.systems import SYSTEMS, System, SystemName
from pakar.models.base import BaseModel
from pakar.run import Run, section_fingerprint


def evaluate(run: Run) -> None:
    """Measure the base and the tuned model on the test split. Needs finished prepare and train stages.

    Raises:
        UserError: an earlier stage has not finished, or its output was changed by hand.
    """
    section, seed = run.recipe.evaluate, run.recipe.seed
    run.finished_model()
    base = models.base.find(run.model)
    with run.stage("evaluate", _inputs(run, base)) as work:
        if work is None:
            return
        # 1. The test split, and of it the questions to answer: the same for every system.
        test = _test_examples(run)
        asked = examples.choose(test, section.answers, seed)
        places = {name: kept.find(name, run, base, test, asked) for name in SYSTEMS}
        scored: dict[str, list[Score]] = {}
        for name in SYSTEMS:
            # 2. One model at a time: how likely it finds the reference answers, and what it answers itself.
            likelihoods = _run_model(name, run, base, (test, asked), places[name])
            # 3. What is on disk, and no model any more → one line of scores per example.
            scored[name] = scores.score(test, likelihoods, answers.read(run.answers_file(name)), section)
            scores.write(run.scores_file(name), scored[name])
        # 4. Scores → metrics with intervals, and the comparison.
        cut = sum(answer.prompt_cut for answer in answers.read(run.answers_file("tuned")))
        settings = summary.settings(scored, section, seed) | _model_settings(run, base) | {"prompts_cut": cut}
        files.write_json(run.metrics_file, {**summary.summarise(scored, section, seed), "settings": settings})
        kept.forget_others(run, places.values())
        # 5. For those who come after: metrics.json holds no times, so equal runs have equal fingerprints.
        work.outputs["metrics"] = files.sha256(run.metrics_file)
        counted = ("test_examples", "groups", "truncated", "unscored")
        work.counts |= {name: settings[name] for name in counted} | {"answers_per_system": len(asked)}


def _inputs(run: Run, base: BaseModel) -> dict[str, str]:
    """Fingerprints of everything that decides the figures."""
    return {
        "evaluate section": section_fingerprint(run.recipe.evaluate),
        "seed": str(run.recipe.seed),
        "base model": base.fingerprint,
        "tuned model": run.output("train", "model"),
        "test split": run.output("prepare", "test"),
        "prompt template": systems.renderer("base", run, base).fingerprint,
        "context tokens": str(systems.context_tokens(run, base)),
    }


def _test_examples(run: Run) -> list[Example]:
    """The test split; a recipe with `test: 0` has none."""
    directory = run.examples_dir("test")
    return list(examples.read(directory)) if directory.exists() and any(directory.iterdir()) else []


def _run_model(
    name: SystemName, run: Run, base: BaseModel, shown: tuple[Sequence[Example], Sequence[Example]], place: Kept
) -> list[Likelihood]:
    """Everything that needs the weights of one system, from disk where it is there; returns the likelihoods."""
    test, asked = shown
    if not test:
        return []
    likelihoods, answered = place.read_likelihoods(), place.has_answers(asked)
    if likelihoods is None or not answered:
        likelihoods = _compute(systems.load(name, run, base), run, shown, place)
        gc.collect()  # Modules refer to each other in circles; without this two models could be in memory.
    files.write_text(run.answers_file(name), place.answers.read_text(encoding="utf-8"))
    return likelihoods


def _compute(
    system: System, run: Run, shown: tuple[Sequence[Example], Sequence[Example]], place: Kept
) -> list[Likelihood]:
    test, asked = shown
    likelihoods = place.read_likelihoods()
    if likelihoods is None:
        likelihoods = likelihood.measure(system, [example.messages for example in test])
        place.write_likelihoods(likelihoods)
    engine = LocalEngine(system.model, system.renderer, system.context_tokens)
    answers.generate(engine, asked, run.recipe.evaluate, run.recipe.seed, place.answers)
    return likelihoods


def _model_settings(run: Run, base: BaseModel) -> dict[str, object]:
    """What the figures depend on beside the recipe's section."""
    return {
        "prompt_fingerprint": {name: systems.renderer(name, run, base).fingerprint for name in SYSTEMS},
        "system_prompt": run.recipe.model.system_prompt,
        "context_tokens": systems.context_tokens(run, base),
    }
