from __future__ import annotations

import itertools
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from pakar import files
from pakar.evaluate.report import terminal_summary, write
from pakar.run import Run
from tests.evaluate.report import synthetic

HOSTILE = "<script>alert(1)</script> {{ 7 * 7 }} {% raw %} \"'><img src=http://evil.example/x> | ` https://evil.example"
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Checks that tags are balanced and ids unique, and collects what a test asks about."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute stands twice in <{tag}>"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def levels(self) -> list[int]:
        return [int(tag[1]) for tag, _ in self.tags if tag in {"h1", "h2", "h3", "h4"}]


def page(run: Run) -> Page:
    return Page(write(run).read_text(encoding="utf-8"))


def report_json(run: Run) -> Any:
    write(run)
    return files.read_json(run.report_json)


def test_the_page_is_well_formed_and_says_the_verdict_first(tmp_path: Path) -> None:
    found = page(synthetic.complete(tmp_path))
    assert found.text.index("Fine-tuning helped:") < found.text.index("Before and after")
    assert "on 12 test questions it never saw" in found.text
    headings = found.levels()
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(headings))
    assert all(
        "caption" in [tag for tag, _ in found.tags[place + 1 : place + 2]]
        for place, (tag, _) in enumerate(found.tags)
        if tag == "table"
    )


def test_nothing_is_loaded_from_anywhere(tmp_path: Path) -> None:
    run = synthetic.complete(tmp_path)
    html = write(run).read_text(encoding="utf-8")
    found = Page(html)
    policy = [
        attributes["content"]
        for tag, attributes in found.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert not {tag for tag, _ in found.tags} & {"script", "link", "img", "iframe", "object", "base", "form"}
    assert all((attributes.get("href") or "#").startswith(("#", "data.html")) for _, attributes in found.tags)
    assert not any(name == "src" or name.startswith("on") for _, attributes in found.tags for name in attributes)
    assert "http://" not in html
    assert "https://" not in html
    assert "url(" not in html
    assert len(html) < 200_000


def test_every_row_of_the_ledger_is_shown(tmp_path: Path) -> None:
    found = page(synthetic.complete(tmp_path)).text
    rejected = ("duplicate all its messages equal those of an earlier row 9", "empty_answer", "unequal_row")
    changed = ("encoding", "truncate", "white-space")
    shown = ["Kept 120", "Rows in 136", "Split: train 96", "Split: validation 12", "Split: test 12", "faq.csv 80"]
    shown += [*(f"Rejected: {name}" for name in rejected), *(f"Changed: {name}" for name in changed)]
    for row in (*shown, "Added by re-phrasing training rows 188", "more.jsonl 40", "1,350", "5,412"):
        assert row in found, row


def test_people_in_rejected_rows_are_masked(tmp_path: Path) -> None:
    run = synthetic.complete(tmp_path)
    write(run)
    for file in (run.report_html, run.report_json, run.model_card_file):
        content = file.read_text(encoding="utf-8")
        assert "ann@example.org" not in content
        assert "812-3456" not in content
        assert "/somewhere/private" not in content
    assert "call [e-mail] or [number]" in run.report_html.read_text(encoding="utf-8")


def test_no_absolute_path_reaches_the_report(tmp_path: Path) -> None:
    run = synthetic.complete(tmp_path, model={"base": str(tmp_path / "models" / "own")})
    write(run)
    for file in (run.report_html, run.report_json, run.model_card_file):
        content = file.read_text(encoding="utf-8").replace(json.dumps(str(tmp_path / "models" / "own")), "")
        assert str(tmp_path) not in content
    shown = yaml.safe_load(report_json(run)["recipe"])
    assert (run.directory / shown["prepare"]["sources"][0]["path"]).resolve() == tmp_path / "data" / "faq.csv"


def test_hostile_words_are_shown_and_do_nothing(tmp_path: Path) -> None:
    run = synthetic.begin(tmp_path)
    synthetic.write_prepare(run, rejected={HOSTILE: 2}, excerpt=HOSTILE)
    synthetic.write_train(run)
    measured = synthetic.metrics()
    measured["systems"]["tuned"]["rouge_l"] = {"skipped": HOSTILE}
    measured["settings"][HOSTILE] = HOSTILE
    synthetic.write_evaluate(run, measured)
    rows = synthetic.answer_rows("tuned", 3)
    rows[0] |= {
        "answer": HOSTILE,
        "reference": HOSTILE,
        "messages": [{"role": HOSTILE, "content": HOSTILE}, {"role": "user", "content": HOSTILE}],
    }
    files.write_json_lines(run.answers_file("tuned"), rows)
    found = page(run)
    assert not [tag for tag, _ in found.tags if tag in {"script", "img"}]
    assert found.text.count("<script>alert(1)</script> {{ 7 * 7 }}") >= 6
    card = run.model_card_file.read_text(encoding="utf-8")
    assert "<script" not in card
    assert "<img" not in card
    table = [line for line in card.splitlines() if line.startswith("| ROUGE")]
    assert table[0].replace("\\|", "").count("|") == 5


def test_what_was_skipped_is_named_with_its_reason(tmp_path: Path) -> None:
    run = synthetic.complete(tmp_path)
    found = page(run).text
    assert "not measured: no answers were generated" in found
    assert "not compared: no answers were generated" in found
    assert "not measured: no answers were generated" in run.model_card_file.read_text(encoding="utf-8")


def test_json_holds_the_same_figures(tmp_path: Path) -> None:
    run = synthetic.complete(tmp_path)
    found, measured = report_json(run), synthetic.metrics()
    assert {metric["name"] for metric in found["metrics"]} == set(measured["systems"]["base"])
    for metric in found["metrics"]:
        for system, cell in metric["systems"].items():
            source = measured["systems"][system][metric["name"]]
            assert {key: cell[key] for key in cell if key != "why"} == {
                key: source[key] for key in source if key != "skipped"
            }
            assert cell.get("why") == source.get("skipped")
    differences = {metric["name"]: one["difference"] for metric in found["metrics"] for one in metric["comparisons"]}
    assert differences == {row["metric"]: row["difference"] for row in measured["comparisons"] if "difference" in row}
    assert found["ledger"]["rows_in"] == found["ledger"]["kept"] + sum(
        row["rows"] for row in found["ledger"]["rejected"]
    )
    assert len(found["questions"]) == 12
    assert found["verdict"]["sentence"] in page(run).text


def test_same_run_same_bytes(tmp_path: Path) -> None:
    run = synthetic.complete(tmp_path)
    outputs = (run.report_html, run.report_json, run.model_card_file)
    write(run)
    first = [file.read_bytes() for file in outputs]
    write(run)
    assert [file.read_bytes() for file in outputs] == first


def test_command_can_be_typed_again(tmp_path: Path) -> None:
    found = page(synthetic.complete(tmp_path)).text
    assert "pakar run 'my recipe.yaml'" in found


def test_a_run_in_which_nothing_has_finished(tmp_path: Path) -> None:
    run = synthetic.begin(tmp_path)
    found = page(run).text
    assert "Whether fine-tuning helped was not measured: the evaluation has not finished." in found
    for part in ("the preparation has not finished", "training has not written any steps", "no answers were generated"):
        assert f"Not measured: {part}" in found
    assert "The stage “train” has not finished" in found
    assert "Not measured: the evaluation has not finished." in run.model_card_file.read_text(encoding="utf-8")


def test_a_run_directory_without_run_json(tmp_path: Path) -> None:
    run = synthetic.begin(tmp_path)
    (run.directory / "run.json").unlink()
    assert "pakar run recipe.yaml" in page(run).text


def test_one_test_question_nothing_rejected(tmp_path: Path) -> None:
    run = synthetic.begin(tmp_path)
    synthetic.write_prepare(run, rejected={})
    synthetic.write_train(run)
    measured = synthetic.metrics(n=1)
    for values in measured["systems"].values():
        for cell in values.values():
            if "value" in cell:
                cell |= {"low": cell["value"], "high": cell["value"], "interval": "skipped: one group"}
    measured["comparisons"] = [
        {"a": "base", "b": "tuned", "metric": "loss", "skipped": "an interval needs at least two questions"}
    ]
    synthetic.write_evaluate(run, measured, answers=1)
    found = page(run).text
    assert "was not measured: an interval needs at least two questions." in found
    assert "Loss How surprised" in found
    assert "6.42 3.12 not compared" in found
    assert "Rejected:" not in found


def test_text_only(tmp_path: Path) -> None:
    run = synthetic.complete(tmp_path)
    words = {"count": 120, "mean": 300.0, "stddev": 40.0, "min": 100, "max": 900, "total": 36000}
    files.write_json(run.statistics_file, {"columns": {"text": {"words": words, "tokens": words}}})
    for system in ("base", "tuned"):
        files.write_json_lines(run.answers_file(system), [])
    found = page(run).text
    assert "on 12 test texts it never saw" in found
    assert found.count("Not measured: no answers were generated.") == 2


def test_huge_and_right_to_left_texts(tmp_path: Path) -> None:
    run = synthetic.complete(tmp_path)
    for system in ("base", "tuned"):
        rows = synthetic.answer_rows(system, 300)
        rows[0]["messages"][0]["content"] = "كيف أهدأ بسرعة؟"
        for row in rows[1:]:
            row["answer"] = "不安なときは" * 20_000
        files.write_json_lines(run.answers_file(system), rows)
    html = write(run).read_text(encoding="utf-8")
    assert '<h3 dir="auto">كيف أهدأ بسرعة؟</h3>' in html
    assert "40 of 300 questions are shown" in html
    assert len(html.encode()) < 1_000_000


def test_more_than_two_systems_stand_in_the_same_table(tmp_path: Path) -> None:
    run = synthetic.complete(tmp_path)
    measured = synthetic.metrics()
    measured["systems"]["retrieval"] = measured["systems"]["tuned"]
    measured["comparisons"] += [{**row, "b": "retrieval"} for row in measured["comparisons"]]
    files.write_json(run.metrics_file, measured)
    files.write_json_lines(run.answers_file("retrieval"), synthetic.answer_rows("tuned", 12))
    found = page(run).text
    assert "Retrieval against base model" in found
    assert "Fine-tuning helped" in found


def test_interrupted_training_counts_repeated_steps_once(tmp_path: Path) -> None:
    run = synthetic.complete(tmp_path)
    rows = files.read_json_lines(run.train_metrics_file)
    files.write_json_lines(run.train_metrics_file, [*rows[:60], {"step": 59, "loss": 99.0}, *rows[50:]])
    curve = report_json(run)["loss_curve"]
    assert [step for step, _ in curve["train"]] == list(range(1, 181))
    assert max(loss for _, loss in curve["train"]) < 10


def test_the_curve_begins_at_the_untrained_model(tmp_path: Path) -> None:
    run = synthetic.complete(tmp_path)
    first = report_json(run)["loss_curve"]["validation"][0]
    assert first == [0, 6.31]
    old = {"step": 0, "epoch": 0.0, "tokens": 0, "seconds": 0.0, "validation_loss": 6.25}
    files.write_json_lines(run.train_metrics_file, [old, *files.read_json_lines(run.train_metrics_file)])
    curve = report_json(run)["loss_curve"]
    assert [step for step, _ in curve["validation"]][:2] == [0, 9]
    assert curve["validation"][0] == [0, 6.25]
    assert curve["train"][0][0] == 1


def test_a_model_that_never_improved_is_the_best_point_and_is_warned_of(tmp_path: Path) -> None:
    run = synthetic.complete(tmp_path)
    facts = {"best_step": 0, "warning": "training did not help: the loss never fell"}
    files.write_json(run.training_file, files.read_json(run.training_file) | facts)
    assert report_json(run)["loss_curve"]["best"] == [0, 6.31]
    assert "training did not help: the loss never fell" in page(run).text
    assert "training did not help: the loss never fell" in run.model_card_file.read_text(encoding="utf-8")
    assert "training did not help" in terminal_summary(run)


def test_without_validation_the_curve_has_none(tmp_path: Path) -> None:
    run = synthetic.complete(tmp_path)
    files.write_json(run.training_file, files.read_json(run.training_file) | {"first_validation_loss": None})
    files.write_json_lines(run.train_metrics_file, [{"step": 1, "loss": 2.0}])
    assert report_json(run)["loss_curve"]["validation"] == []


def link(run: Run, **changes: dict[str, str]) -> None:
    """Give the records inputs and outputs that fit, but for `changes`."""
    fitting = {
        "prepare_outputs": {"tokens": "k", "test": "t"}, "train_inputs": {"prepared data": "k"}, "train_outputs": {"model": "m"},
        "evaluate_inputs": {"tuned model": "m", "test split": "t"},
    }  # fmt: skip
    for name, content in {**fitting, **changes}.items():
        stage, _, part = name.partition("_")
        path = run.directory / stage / "stage.json"
        files.write_json(path, files.read_json(path) | {part: content})


def test_stages_that_fit_are_not_called_stale(tmp_path: Path) -> None:
    run = synthetic.complete(tmp_path)
    link(run)
    found = report_json(run)
    assert found["verdict"]["headline"] == "Fine-tuning helped"
    assert not any("earlier" in warning for warning in found["warnings"])


@pytest.mark.parametrize(
    ("changes", "first"),
    [({"prepare_outputs": {"tokens": "k", "test": "new"}}, "The evaluation was made from an earlier split"),
     ({"train_outputs": {"model": "new"}}, "The evaluation was made from an earlier model"),
     ({"prepare_outputs": {"tokens": "new", "test": "t"}}, "The model was trained on earlier data")],
)  # fmt: skip
def test_stale_figures_are_no_success(changes: dict[str, dict[str, str]], first: str, tmp_path: Path) -> None:
    run = synthetic.complete(tmp_path)
    link(run, **changes)
    found = report_json(run)
    assert found["warnings"][0] == f"{first}: run `pakar run` again."
    assert found["verdict"]["outcome"] is None
    assert found["verdict"]["sentence"].endswith(found["warnings"][0])
    for shown in (page(run).text, run.model_card_file.read_text(encoding="utf-8"), terminal_summary(run)):
        assert "Fine-tuning helped" not in shown
        assert "Out of date: whether fine-tuning helped is not known" in shown


def test_a_model_that_is_trained_anew_makes_the_evaluation_stale(tmp_path: Path) -> None:
    run = synthetic.complete(tmp_path)
    files.remove(run.stage_dir("train"))
    found = report_json(run)
    assert found["warnings"][0].startswith("The evaluation was made from an earlier model")
    assert found["verdict"]["headline"] == "Out of date"


def test_the_report_tells_of_what_was_measured_and_trained_and_not_of_the_recipe(tmp_path: Path) -> None:
    run = synthetic.complete(tmp_path)
    measured = synthetic.metrics()
    measured["settings"] |= {"test_examples": 6, "confidence": 0.8, "target_words": [1, 2]}
    files.write_json(run.metrics_file, measured)
    files.write_json(run.training_file, files.read_json(run.training_file) | {"method": "full"})
    found = report_json(run)
    assert "on 6 test questions" in found["verdict"]["sentence"]
    assert "80 % interval" in found["verdict"]["sentence"]
    assert (found["confidence"], found["target_words"]) == (0.8, [1, 2])
    assert found["method"] == "all weights"


def test_the_method_is_that_of_the_adapter_which_was_written(tmp_path: Path) -> None:
    run = synthetic.complete(tmp_path, train={"method": {"kind": "lora", "rank": 64}})
    written = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "target_modules": ["k_proj", "q_proj"]}
    files.write_json(run.model_dir / "adapter_config.json", written)
    assert report_json(run)["method"] == "LoRA, rank 4, alpha 8, dropout 0.1, on k_proj, q_proj"


def test_a_long_curve_is_thinned(tmp_path: Path) -> None:
    run = synthetic.complete(tmp_path)
    files.write_json_lines(run.train_metrics_file, [{"step": step, "loss": 1 / step} for step in range(1, 20_001)])
    curve = report_json(run)["loss_curve"]
    assert len(curve["train"]) <= 402
    assert curve["train"][-1][0] == 20_000


def test_card_names_a_hub_model_only(tmp_path: Path) -> None:
    def header(base: str) -> Any:
        run = synthetic.complete(tmp_path / base.replace("/", "_"), model={"base": base})
        write(run)
        return yaml.safe_load(run.model_card_file.read_text(encoding="utf-8").split("---")[1])

    assert header("openai-community/gpt2") == {
        "library_name": "peft", "pipeline_tag": "text-generation", "base_model": "openai-community/gpt2",
        "base_model_relation": "adapter", "tags": ["pakar", "lora"],
    }  # fmt: skip
    assert "base_model" not in header("starter")


def test_card_tells_how_to_load_whole_models_and_adapters(tmp_path: Path) -> None:
    whole = synthetic.complete(tmp_path / "whole", train={"method": {"kind": "full"}})
    adapter = synthetic.complete(tmp_path / "adapter")
    write(whole)
    write(adapter)
    assert 'AutoModelForCausalLM.from_pretrained("train/model")' in whole.model_card_file.read_text(encoding="utf-8")
    assert 'PeftModel.from_pretrained(base, "train/model")' in adapter.model_card_file.read_text(encoding="utf-8")


@pytest.mark.parametrize("double", [True, False])
def test_card_puts_an_adapter_of_a_base_in_4_bits_on_a_base_in_4_bits(tmp_path: Path, *, double: bool) -> None:
    method = {"kind": "qlora", "rank": 8, "targets": ["q_proj"], "double_quantisation": double}
    run = synthetic.complete(tmp_path, model={"base": "openai-community/gpt2"}, train={"method": method})
    write(run)
    card = run.model_card_file.read_text(encoding="utf-8")
    assert report_json(run)["method"] == "QLoRA, rank 8, alpha 32, dropout 0.05, on q_proj"
    assert yaml.safe_load(card.split("---")[1])["tags"] == ["pakar", "qlora"]
    assert f"bnb_4bit_use_double_quant={double}" in card
    assert 'from_pretrained("openai-community/gpt2", dtype="float32", quantization_config=four_bits)' in card
    program = card.split("```python\n")[1].split("```")[0]
    compile(program, "MODEL_CARD.md", "exec")
    assert 'from_pretrained(base, "train/model")' in program


def test_page_and_card_tell_what_training_needed_and_how_it_was_computed(tmp_path: Path) -> None:
    run = synthetic.complete(tmp_path)
    best = files.read_json(run.training_file)["best_step"]
    steps = files.read_json_lines(run.train_metrics_file)
    kept = {best: {"validation_token_accuracy": 0.4321, "memory_bytes": 3 * 2**29}}
    files.write_json_lines(run.train_metrics_file, [row | kept.get(row["step"], {}) for row in steps])
    settled = {"packed": True, "micro_batch_tokens": 4096, "gradient_checkpointing": False, "compiled": True}
    more = {"settled": settled, "processes": 2, "sharding": "full", "stopping": {"ended": 3, "answers": 4}}
    files.write_json(run.training_file, files.read_json(run.training_file) | more)
    expected = [
        ["Validation tokens predicted right", "43 %"],
        ["Answers that ended by themselves", "3 of 4, greedily, to validation questions"],
        ["Most memory", "1.5 GiB"],
        ["Computed", "in float32, by 2 processes, the model spread over them, several examples in a row, at most 4,096 tokens at once, compiled"],
    ]  # fmt: skip
    assert report_json(run)["course"] == expected
    for path in (run.report_html, run.model_card_file):
        shown = path.read_text(encoding="utf-8")
        assert all(name in shown and value in shown for name, value in expected)
