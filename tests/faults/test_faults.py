"""The ten faults that users of fine-tuning programs report most, each seeded into data, recipe or files, each caught by name.

Each section says what goes wrong elsewhere. The list of where each is told: docs/faults.md.
"""

from __future__ import annotations

import json
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tokenizers import normalizers
from transformers import AutoTokenizer

from pakar import examples, files, recipe_file
from pakar.conversation import Conversation, Message
from pakar.errors import DataError, RecipeError, UserError
from pakar.models import merge, tuned, versions
from pakar.models.base import find
from pakar.models.prompt import renderer
from pakar.prepare.stage import prepare
from pakar.run import Run, begin
from pakar.shards import TokenShards
from pakar.train.stage import train
from pakar.train.watch import Watch
from tests import tiny
from tests.command import pakar

LATE_ENDS = (
    "{% for m in messages %}{% if not loop.first %}<|end|>{% endif %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|end|><|assistant|>{% endif %}"
)
"""A usual mistake: the mark that ends a turn is written before the next one only, so the last answer has none."""

TALK: Conversation = (
    Message("user", "How can I sleep?"),
    Message("assistant", "Go to bed."),
    Message("user", "And then?"),
    Message("assistant", "Breathe out."),
)


def begun(folder: Path, base: Path, pairs: list[tuple[str, str]], *overrides: str) -> Run:
    """A run of question and answer pairs."""
    folder.mkdir(exist_ok=True)
    tiny.write_recipe(folder / "recipe.yaml", tiny.write_pairs(folder / "rows.csv", pairs), base)
    alone = "prepare.executor={workers: 1}"
    return Run(folder / "run", recipe_file.load(folder / "recipe.yaml", [alone, *overrides]))


def rejected(run: Run) -> dict[tuple[str, int], str]:
    """(file, row) → reason."""
    rows = pl.read_parquet(run.rejected_dir / "*.parquet")
    return {
        (Path(source).name, offset): reason
        for source, offset, reason in rows.select("source", "offset", "reason").iter_rows()
    }


# 1. Rows vanish or are cut, and nobody says so.


def test_1_every_row_that_is_dropped_or_cut_is_in_the_ledger_by_name(
    tmp_path: Path, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [
        *tiny.pairs(12),
        ("Why is it?", ""),
        tiny.pairs(1)[0],
        ("How long is long?", "word " * 200),
        ("x " * 300, "So."),
    ]
    run = begun(tmp_path, tiny_base, pairs)
    prepare(run)
    ledger = files.read_json(run.ledger_file)
    assert ledger["rows_in"] == len(pairs) == ledger["kept"] + sum(ledger["rejected"].values())
    assert rejected(run) == {
        ("rows.csv", 13): "empty_answer",
        ("rows.csv", 14): "duplicate",
        ("rows.csv", 16): "prompt_too_long",
    }
    assert ledger["changed"]["truncate"] == 1
    kept = pl.concat([examples.frame(run.examples_dir(name)) for name in ("train", "validation", "test")])
    assert sorted([*kept["offset"], 13, 14, 16]) == list(range(1, 17))
    longest = files.read_json(run.statistics_file)["longest"]
    assert longest["rows"] == 1
    assert longest["tokens_over"] > 100
    told = capsys.readouterr().err.replace("\n", " ")
    assert "13 kept + 3 rejected" in told
    assert "rows over 96 tokens that lost their end: 1" in told


def test_1_too_many_rows_that_cannot_be_read_stop_the_run(tmp_path: Path, tiny_base: Path) -> None:
    run = begun(tmp_path, tiny_base, tiny.pairs(10))
    with (tmp_path / "rows.csv").open("a") as file:
        file.write("one cell too many,a,b\n" * 3)
    with pytest.raises(DataError, match=r"3 of 13 rows could not be read; .*unequal_row 3"):
        prepare(run)


# 2. Training on nothing, reported as success.


def test_2_rows_with_nothing_to_learn_are_named_and_a_run_of_them_is_refused(tmp_path: Path, tiny_base: Path) -> None:
    talks = [
        {
            "messages": [
                {"role": "user", "content": f"Why {n}?"},
                {"role": "assistant", "content": f"So {n}.", "weight": 0},
            ]
        }
        for n in range(3)
    ]
    (tmp_path / "talks.jsonl").write_text("\n".join(map(json.dumps, talks)))
    (tmp_path / "recipe.yaml").write_text(
        f"name: nothing\nmodel: {{base: {tiny_base}, context_tokens: 96}}\n"
        f"prepare: {{sources: [{{path: {tmp_path / 'talks.jsonl'}}}], executor: {{workers: 1}}}}\n"
    )
    run = Run(tmp_path / "run", recipe_file.load(tmp_path / "recipe.yaml"))
    with pytest.raises(DataError, match="all 3 rows were rejected: nothing_learnt 3"):
        prepare(run)
    assert rejected(run) == {("talks.jsonl", n): "nothing_learnt" for n in (1, 2, 3)}


def test_2_questions_that_fill_the_context_leave_nothing_and_are_refused(tmp_path: Path, tiny_base: Path) -> None:
    run = begun(tmp_path, tiny_base, [(f"{n} " * 200, "So.") for n in range(4)])
    with pytest.raises(DataError, match="all 4 rows were rejected: prompt_too_long 4"):
        prepare(run)


def test_2_a_training_split_without_a_row_is_refused(tmp_path: Path, tiny_base: Path) -> None:
    run = begun(tmp_path, tiny_base, tiny.pairs(4), "prepare.split={validation: 2, test: 2}")
    with pytest.raises(UserError, match="only 4 rows are left after cleaning, and some must be trained on"):
        prepare(run)


# 3. Masks and chat templates that are wrong.


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (  # drops what the assistant said
            "{% for m in messages %}<|{{ m.role }}|>{% if m.role != 'assistant' %}{{ m.content }}{% endif %}<|end|>{% endfor %}",
            "leaves out, repeats or changes a message",
        ),
        (  # says it twice
            "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% if m.role == 'assistant' %}{{ m.content }}{% endif %}<|end|>{% endfor %}",
            "leaves out, repeats or changes a message",
        ),
        (  # the prompt is no beginning of what was trained on
            "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|user|>?{% endif %}",
            "changes what came before it",
        ),
    ],
)
def test_3_a_template_that_spoils_what_is_learnt_is_refused_with_the_reason(template: str, told: str) -> None:
    tokenizer = tiny.tokenizer(template)
    with pytest.raises(RecipeError, match=f"chat template cannot be used for training.*{told}"):
        renderer(tokenizer).example(TALK)


@pytest.mark.parametrize(
    "template",
    [
        tiny.TEMPLATE,
        LATE_ENDS,
        None,
    ],
)
def test_3_the_end_of_every_answer_is_learnt_whatever_the_template(template: str | None) -> None:
    prompts = renderer(tiny.tokenizer(template))
    ids, mask = prompts.example(TALK)
    learnt = [token for token, one in zip(ids, mask, strict=True) if one]
    assert learnt.count(prompts.end_id) == 2
    assert learnt[-1] == prompts.end_id
    words = str(prompts.tokenizer.decode(learnt))
    assert "Go to bed." in words
    assert "Breathe out." in words
    assert "sleep" not in words


# 4. The model never stops: pad is eos, eos is missing.


def test_4_a_pad_token_that_is_the_end_token_hides_no_end(tmp_path: Path) -> None:
    base = tiny.save_model(tmp_path / "base")
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(base)
    run = begun(tmp_path / "run", base, tiny.pairs(12))
    prepare(run)
    shards = TokenShards(run.tokens_dir("train"))
    end = tokenizer.eos_token_id
    for number in range(len(shards)):
        sequence = shards[number]
        assert sequence.input_ids[-1] == end
        assert sequence.loss_mask[-1] == 1
        assert np.sum((sequence.input_ids == end) & (sequence.loss_mask == 1)) == 1


def test_4_a_tokenizer_without_an_end_is_refused() -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(RecipeError, match="no end-of-text token, so no model could learn to stop"):
        renderer(tokenizer)


# Trained once for what follows.


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Run:
    """The tiny base model knows no end, and three epochs do not teach it one; the loss falls all the same."""
    run = begun(
        tmp_path_factory.mktemp("trained"), tiny_base, tiny.pairs(30),
        "train.validation={answers: 3, patience: 0}", "evaluate.sampling.max_tokens=56",
    )  # fmt: skip
    prepare(run)
    train(run)
    return run


# 5. Good in training, bad when served: another template.


@pytest.mark.parametrize("changed", ["template", "tokenizer"])
def test_5_a_model_whose_prompts_are_not_those_of_its_training_is_refused(
    trained: Run, tmp_path: Path, changed: str
) -> None:
    model = Path(shutil.copytree(trained.model_dir, tmp_path / "model"))
    assert tuned.prompt_renderer(model, "").ids("a")
    _change(model, changed)
    with pytest.raises(UserError, match="differs from the one used in training"):
        tuned.prompt_renderer(model, "")


def test_5_another_system_prompt_is_another_prompt(trained: Run) -> None:
    with pytest.raises(UserError, match="differs from the one used in training"):
        tuned.prompt_renderer(trained.model_dir, "Be brief.")


def _change(model: Path, what: str) -> None:
    """Another chat template, or other tokens for the same text."""
    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    if what == "template":
        tokenizer.chat_template = tiny.TEMPLATE.replace("'|>'", "'|> '")
    else:
        tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.save_pretrained(model)


# 6. A merge that ruins the model.


@pytest.mark.parametrize("kind", ["lora", "qlora"])
def test_6_a_merge_that_changes_the_model_is_refused(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    run = begun(
        tmp_path, tiny_base, tiny.pairs(24), f"train.method.kind={kind}", "train.epochs=1", "train.learning_rate=0.05"
    )
    prepare(run)
    train(run)
    base = find(run.recipe.model)
    prompts = tuned.prompt_renderer(run.model_dir, "")
    rows = [prompts.example(TALK).ids]
    before = merge.logits(merge.as_trained(run.model_dir, base), rows)
    merge.check(merge.compare(before, merge.logits(merge.merged(run.model_dir, base), rows)), "float32")
    # What other programs do: fold a 4-bit adapter into the weights from before the rounding; forget the adapter's scale.
    ruined = base.load() if kind == "lora" else _folded_into_unrounded(run, base)
    with pytest.raises(UserError, match="merge"):
        merge.check(merge.compare(before, merge.logits(ruined, rows)), "float32")


def _folded_into_unrounded(run: Run, base: Any) -> Any:
    from peft import PeftModel  # noqa: PLC0415

    return PeftModel.from_pretrained(base.load(), str(run.model_dir)).merge_and_unload()


# 7. Resuming with something else than what the training began with.


def test_7_a_resume_with_other_data_is_refused_and_nothing_is_thrown_away(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(tmp_path, tiny_base, tiny.pairs(30))
    prepare(run)
    show = Watch.show

    def interrupted(watch: Watch, record: Any) -> None:
        show(watch, record)
        if record["step"] == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Watch, "show", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(run)
    monkeypatch.undo()
    saved = sorted(path.name for path in run.checkpoints_dir.glob("step-*"))
    assert saved[-1] == "step-00000004"
    tiny.write_pairs(tmp_path / "rows.csv", tiny.pairs(31))
    prepare(run)
    with pytest.raises(
        RecipeError, match=r"cannot be gone on with, because this changed since it began: .*prepared data"
    ):
        train(run)
    assert sorted(path.name for path in run.checkpoints_dir.glob("step-*")) == saved


# 8. A library below what is declared.


def test_8_an_installed_version_below_our_floor_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "4.40.0" if name == "transformers" else real(name))
    with pytest.raises(UserError, match=r"transformers 4\.40\.0; expected .*>=5") as caught:
        versions.check()
    assert "pip install" in str(caught.value.next_step)


# 9. The same seed and another result: prepared data that is stale.


@pytest.mark.parametrize("changed", ["template", "tokenizer"])
def test_9_a_changed_template_or_tokenizer_prepares_again_and_says_why(
    tmp_path: Path, changed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tiny.save_model(tmp_path / "base")
    run = begun(tmp_path / "run", base, tiny.pairs(12))
    prepare(run)
    before = run.output("prepare", "tokens")
    _change(base, changed)
    capsys.readouterr()
    prepare(run)
    told = capsys.readouterr().err.replace("\n", " ")
    assert "prepare: runs again, because" in told
    assert "prompt template changed" in told
    assert run.output("prepare", "tokens") != before


def test_9_two_runs_tell_what_they_were_made_from_differently(tmp_path: Path, tiny_base: Path) -> None:
    def made(name: str, *overrides: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        tiny.write_recipe(folder / "recipe.yaml", tiny.write_pairs(tmp_path / "rows.csv", tiny.pairs(12)), tiny_base)
        recipe = recipe_file.load(folder / "recipe.yaml", [f"name={name}", "prepare.executor={workers: 1}", *overrides])
        run = begin(recipe, tmp_path / "runs")
        prepare(run)
        # As if it had been made elsewhere.
        if name == "other":
            facts = files.read_json(run.directory / "run.json")
            facts["versions"]["transformers"] = "5.0.0"
            files.write_json(run.directory / "run.json", facts)
        return run.directory

    first, again, other = made("first"), made("again"), made("other", "seed=9")
    same = pakar("compare", first, again, cwd=tmp_path)
    assert same.stdout.startswith("Both runs were made from the same, by the same, and came out the same.")
    told = pakar("compare", first, other, cwd=tmp_path).stdout.splitlines()
    assert "  seed: 1 → 9" in told
    found = json.loads(pakar("compare", first, other, "--json", cwd=tmp_path).stdout)
    names = {one["name"] for one in found["differences"]}
    assert names == {
        "recipe.seed",
        "versions.transformers",
        "prepare.inputs.seed",
        "prepare.outputs.tokens",
        "prepare.outputs.test",
    } | (names & {"prepare.outputs.statistics"})


# 10. The loss falls and the answers are broken.


def test_10_answers_that_do_not_end_are_told_though_the_loss_falls(trained: Run) -> None:
    facts = files.read_json(trained.training_file)
    assert facts["best_validation_loss"] < facts["first_validation_loss"]
    assert "the model does not stop: only" in facts["answers_warning"]
    measured = [one for one in files.read_json_lines(trained.train_metrics_file) if "validation_loss" in one]
    (of_kept_step,) = (one["answers_ended"] for one in measured if one["step"] == facts["best_step"])
    assert of_kept_step == facts["answers"]["kept"]["answers_ended"] < 0.5
    kept = files.read_json_lines(trained.training_answers_file)
    assert {row["step"] for row in kept} == {0, *(one["step"] for one in measured)}
    assert all(row["ended"] == (row["stop_reason"] == "end") for row in kept)
