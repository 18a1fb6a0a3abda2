"""A run directory as the stages leave it, without running them."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import polars as pl

from pakar import examples, files, recipe_file, text
from pakar.prepare.frames import REJECTED
from pakar.recipe import Recipe
from pakar.run import Run

QUESTIONS = {
    "How can I calm down quickly when I feel anxious?": (
        "Anxiety feels strong, but it rises and falls like a wave. Breathe in through your nose, then out slowly, "
        "longer than you breathed in. After a few breaths, press your feet into the floor."
    ),
    "What is the difference between stress and anxiety?": (
        "Stress usually has a clear cause, such as work or exams, and eases when that ends. Anxiety can stay even when "
        "nothing is wrong. If worry lasts for weeks, a doctor or counsellor can help you understand it."
    ),
    "Why does my heart race when nothing is wrong?": (
        "A racing heart can be frightening. Stress can make the body react as if there were danger, so sit down and "
        "breathe slowly. Ask a doctor to check it, because there may also be a physical cause."
    ),
}
FILLER = (
    "the",
    "of",
    "and",
    "to",
    "in",
    "it",
    "you",
    "is",
    "that",
    "he",
    "was",
    "for",
    "on",
    "are",
    "as",
    "with",
    "his",
)


def recipe(tmp_path: Path, **changes: Any) -> Recipe:
    tree: dict[str, Any] = {
        "name": "faq-run",
        "prepare": {"sources": [{"path": str(tmp_path / "data" / "faq.csv")}]},
        **changes,
    }
    return Recipe.model_validate(tree)


def estimate(value: float, spread: float, n: int, unit: str = "", *, higher: bool | None = False) -> dict[str, Any]:
    return {
        "value": value,
        "low": value - spread,
        "high": value + spread,
        "n": n,
        "unit": unit,
        "higher_is_better": higher,
    }


def compared(metric: str, difference: float, low: float, high: float, p: float = 0.001) -> dict[str, Any]:
    return {"a": "base", "b": "tuned", "metric": metric, "difference": difference, "low": low, "high": high, "p": p}


def metrics(low: float = -3.6, high: float = -3.0, n: int = 12) -> dict[str, Any]:
    middle = (low + high) / 2
    skipped = {"skipped": "no answers were generated"}
    tuned = {
        "loss": estimate(6.42 + middle, 0.2, n, "nats per token"),
        "perplexity": estimate(math.exp(6.42 + middle), 3.0, n),
        "chrf": estimate(31.5, 2.1, n, "percent", higher=True),
        "answer_words": estimate(33.2, 4.0, n, "words", higher=None),
        "in_target_length": estimate(0.58, 0.2, n, "share", higher=True),
        "ended_by_itself": estimate(0.75, 0.15, n, "share", higher=True),
        "rouge_l": skipped,
    }
    base = {
        "loss": estimate(6.42, 0.3, n, "nats per token"),
        "perplexity": estimate(614.0, 80.0, n),
        "chrf": estimate(17.8, 2.4, n, "percent", higher=True),
        "answer_words": estimate(84.0, 9.0, n, "words", higher=None),
        "in_target_length": estimate(0.08, 0.08, n, "share", higher=True),
        "ended_by_itself": estimate(0.83, 0.15, n, "share", higher=True),
        "rouge_l": skipped,
    }
    comparisons = [
        compared("loss", middle, low, high),
        compared("perplexity", -589.0, -640.0, -540.0),
        compared("chrf", 13.7, 10.1, 17.0),
        compared("answer_words", -50.8, -62.0, -41.0),
        compared("in_target_length", 0.5, 0.25, 0.75, 0.004),
        compared("ended_by_itself", -0.08, -0.33, 0.17, 0.62),
        {"a": "base", "b": "tuned", "metric": "rouge_l", "skipped": "no answers were generated"},
    ]
    return {
        "systems": {"base": base, "tuned": tuned},
        "comparisons": comparisons,
        "settings": {"resamples": 2000, "groups": n},
    }


def answer_rows(system: str, n: int) -> list[dict[str, Any]]:
    chance = random.Random(system)
    rows = []
    for number in range(n):
        question, reference = list(QUESTIONS.items())[number % len(QUESTIONS)]
        said = " ".join(chance.choice(FILLER) for _ in range(chance.randint(60, 110)))
        if system == "tuned":
            beginning = " ".join(reference.split()[: chance.randint(8, 28)])
            said = f"It is common to feel this way, and it can pass. {beginning}."
        rows.append(
            {
                "id": f"{number:064x}", "messages": [{"role": "user", "content": question}],
                "reference": reference, "answer": said,
                "stop_reason": "length" if system == "base" or chance.random() < 0.25 else "end",
                "prompt_tokens": 12, "answer_tokens": 40, "seconds": 0.5,
            }
        )  # fmt: skip
    return rows


def write_prepare(
    run: Run, rejected: dict[str, int] | None = None, excerpt: str = "call ann@example.org or +62 812-3456-789"
) -> None:
    rejected = {"duplicate": 9, "empty_answer": 4, "unequal_row": 3} if rejected is None else rejected
    ledger = {
        "rows_in": 120 + sum(rejected.values()), "kept": 120, "rejected": rejected,
        "changed": {"encoding": 3, "html": 0, "truncate": 2, "white-space": 17},
        "splits": {"train": 96, "validation": 12, "test": 12}, "augmented": 188, "groups_crossing": 0,
    }  # fmt: skip
    files.write_json(run.ledger_file, ledger)
    rows = [
        {"source": "/somewhere/private/faq.csv", "offset": number + 2, "part": 0, "reason": reason, "operator": "read",
         "detail": f"because of {reason}", "text": excerpt}
        for reason, count in rejected.items() for number in range(count)
    ]  # fmt: skip
    files.write_json(run.excerpts_file, {"changed": {}, "rejected": rows, "flagged": {}, "pairs": []})
    run.rejected_dir.mkdir(parents=True)
    pl.DataFrame(rows, schema=REJECTED).write_parquet(run.rejected_dir / "part-00000.parquet")
    kept: list[dict[str, Any]] = [
        {"id": str(n), "group": str(n), "source": ("faq.csv", "more.jsonl")[n % 3 == 0], "offset": n, "part": 0,
         "messages": [], "augmented": False}
        for n in range(120)
    ]  # fmt: skip
    run.examples_dir("train").mkdir(parents=True)
    pl.DataFrame(kept, schema=examples.SCHEMA).write_parquet(run.examples_dir("train") / "part-00000.parquet")
    words = {"count": 120, "mean": 11.25, "stddev": 4.5, "min": 3, "max": 31, "total": 1350}
    tokens = {"count": 120, "mean": 17.9, "stddev": 6.2, "min": 6, "max": 44, "total": 2148}
    answer = {"count": 120, "mean": 45.1, "stddev": 9.7, "min": 21, "max": 81, "total": 5412}
    files.write_json(
        run.statistics_file,
        {"columns": {"question": {"words": words, "tokens": tokens}, "answer": {"words": answer, "tokens": answer}}},
    )
    _finish(run, "prepare", 1.9)


def write_train(run: Run) -> None:
    chance = random.Random(1)
    rows: list[dict[str, Any]] = []
    for step in range(1, 181):
        loss = 2.6 + 3.8 * math.exp(-step / 35) + chance.gauss(0, 0.16)
        row = {
            "step": step,
            "epoch": step / 60,
            "loss": loss,
            "learning_rate": 1e-4,
            "tokens": 900,
            "tokens_per_second": 2400.0,
            "seconds": 0.4,
        }
        if step % 9 == 0:
            row["validation_loss"] = 3.05 + 3.3 * math.exp(-step / 35) + 0.000016 * max(0, step - 90) ** 2
        rows.append(row)
    files.write_json_lines(run.train_metrics_file, rows)
    best = min((row for row in rows if "validation_loss" in row), key=lambda row: row["validation_loss"])
    files.write_json(
        run.training_file,
        {
            "method": run.recipe.train.method.kind, "trainable_parameters": 811_008, "total_parameters": 13_480_960,
            "steps": 180, "epochs": 3.0,
            "best_step": best["step"], "best_validation_loss": best["validation_loss"], "first_validation_loss": 6.31,
            "last_validation_loss": rows[-1]["validation_loss"], "stopped": "finished", "warning": None,
            "precision": "float32", "device": "cpu", "tokens": 162_000, "seconds": 74.0,
        },
    )  # fmt: skip
    _finish(run, "train", 81.3)


def write_evaluate(run: Run, measured: dict[str, Any] | None = None, answers: int = 12) -> None:
    files.write_json(run.metrics_file, metrics() if measured is None else measured)
    for system in ("base", "tuned"):
        rows = answer_rows(system, answers)
        files.write_json_lines(run.answers_file(system), rows)
        scores = [
            {
                "id": row["id"],
                "group": row["id"],
                "nll": 3.0,
                "tokens": 9,
                "bytes": 30,
                "words": len(text.words(row["answer"])),
            }
            for row in rows
        ]
        files.write_json_lines(run.scores_file(system), scores)
    _finish(run, "evaluate", 49.6)


def begin(tmp_path: Path, **changes: Any) -> Run:
    """A run directory in which no stage has run; what `pakar.run.begin` writes, without this machine's facts."""
    run = Run(tmp_path / "runs" / "faq-run", recipe(tmp_path, **changes))
    files.write_text(run.directory / "recipe.yaml", recipe_file.dump(run.recipe))
    files.write_json(
        run.directory / "run.json",
        {
            "format": 1, "name": "faq-run", "written": "2026-01-01T00:00:00+00:00",
            "command": ["pakar", "run", "my recipe.yaml"], "seed": 1, "recipe_fingerprint": "0" * 64,
            "base": {"name": run.recipe.model.base, "revision": None},
            "versions": {"pakar": "0.1.0", "python": "3.11.2", "torch": "2.10.0"}, "git": None,
            "hardware": {"system": "Linux", "processor": "Some Processor", "cores": 2, "memory_bytes": 8 * 2**30},
            "stages": {},
        },
    )  # fmt: skip
    return run


def complete(tmp_path: Path, **changes: Any) -> Run:
    run = begin(tmp_path, **changes)
    write_prepare(run)
    write_train(run)
    write_evaluate(run)
    return run


def _finish(run: Run, stage: Any, seconds: float) -> None:
    record = {
        "stage": stage,
        "inputs": {"seed": "1"},
        "outputs": {"model": "f" * 64},
        "counts": {},
        "seconds": seconds,
        "finished": "now",
    }
    files.write_json(run.stage_dir(stage) / "stage.json", record)
