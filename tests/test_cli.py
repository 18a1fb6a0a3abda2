"""The command line as its users meet it: exit codes, wording, one JSON object, no tracebacks for mistakes."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pakar import cli
from tests import tiny
from tests.command import pakar


def processor_seconds(command: list[str]) -> float:
    """Processor time, which other tests at the same time do not change."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_answers_at_once_and_without_torch() -> None:
    script = "import sys; sys.argv = ['pakar', '--help']\nfrom pakar.cli import main\ntry: main()\nfinally: print(sorted({'torch', 'polars', 'pydantic'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "[]" in shown.stdout
    fastest = min(processor_seconds([sys.executable, "-m", "pakar", "--help"]) for _ in range(5))
    assert fastest < 0.3


def test_importing_the_light_modules_changes_nothing_and_loads_nothing_heavy() -> None:
    script = (
        "import os, sys, logging; before = dict(os.environ), logging.root.level\n"
        "import pakar, pakar.recipe, pakar.recipe_file, pakar.run, pakar.prepare, pakar.cli\n"
        "assert (dict(os.environ), logging.root.level) == before\n"
        "assert not {'torch', 'transformers', 'polars'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.fixture
def folder(tmp_path: Path, tiny_base: Path) -> Path:
    data = tiny.write_pairs(tmp_path / "rows.csv", tiny.pairs(20))
    tiny.write_recipe(tmp_path / "recipe.yaml", data, tiny_base)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["frobnicate"], 2, "No such command"),
        (["check", "absent.yaml"], 2, "there is no recipe absent.yaml"),
        (["check", "recipe.yaml", "--set", "train.methd=1"], 2, "did you mean `method`?"),
        (
            ["check", "recipe.yaml", "--set", "train.method.rank=-4"],
            2,
            "train.method.rank = -4: expected greater than or equal to 1",
        ),
        (["run", "recipe.yaml", "--set", "model.base=./rows.csv"], 2, "is a file"),
        (["run", "recipe.yaml", "--set", "prepare.sources.0.path=absent.csv"], 4, "absent.csv"),
        (["run", "recipe.yaml", "--set", "prepare.sources.0.shape.answer=anser"], 4, "write `answer: answer`"),
        (["run", "recipe.yaml", "--set", "prepare.split.test=900"], 4, "only 20 rows are left"),
        (["init", "absent.csv"], 4, "absent.csv"),
        (["chat"], 2, "--base MODEL"),
        (["chat", "absent"], 1, "there is no run 'absent'"),
        (["report", "absent"], 1, "there is no run 'absent'"),
        (["export", "n" * 5000], 1, "there is no run"),
        (["export", "."], 1, "there is no run '.'"),
        (["export", "absent", "--as", "onnx"], 2, "expected adapter, merged or gguf"),
        (["export", "absent", "--push", "me"], 2, "expected OWNER/NAME"),
        (["export", "absent", "--public"], 2, "--push OWNER/NAME only"),
        (["chat", "absent", "--system", "all"], 2, "expected base, tuned or both"),
    ],
)
def test_a_mistake_gets_words_a_next_step_and_its_exit_code(
    folder: Path, arguments: list[str], code: int, message: str
) -> None:
    done = pakar(*arguments, cwd=folder)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert message in done.stderr


def test_json_mode_prints_exactly_one_object_also_for_errors(folder: Path) -> None:
    good = pakar("check", "recipe.yaml", "--json", cwd=folder)
    assert json.loads(good.stdout)["name"] == "tiny"
    bad = pakar("check", "absent.yaml", "--json", cwd=folder)
    assert json.loads(bad.stdout)["exit_code"] == 2


def test_plan_writes_nothing_and_prepare_leaves_a_page_both_with_one_object(folder: Path) -> None:
    planned = pakar("plan", "recipe.yaml", "--show", "2", "--json", cwd=folder)
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["rows"] == {"looked_at": 20, "expected": 20}
    assert not (folder / "runs").exists()
    prepared = pakar(
        "prepare", "recipe.yaml", "--json", "--set", "prepare.executor={kind: local, workers: 1}", cwd=folder
    )
    assert prepared.returncode == 0, prepared.stderr
    found = json.loads(prepared.stdout)
    assert (found["kept"], found["statistics"]["columns"]["answer"]["words"]["count"]) == (20, 20)
    assert (folder / "runs" / "tiny" / "data.html").exists()


def test_the_schema_is_valid_json(folder: Path) -> None:
    assert json.loads(pakar("check", "--schema", cwd=folder).stdout)["additionalProperties"] is False


def test_init_shows_what_it_found_writes_a_recipe_and_keeps_the_old_one(folder: Path) -> None:
    first = pakar("init", "rows.csv", cwd=folder)
    assert first.returncode == 0, first.stderr
    assert "question" in first.stdout
    assert "How can I sleep in week 0?" in first.stdout
    assert pakar("check", cwd=folder).returncode == 0
    (folder / "pakar.yaml").write_text("name: mine\n")
    again = pakar("init", "rows.csv", cwd=folder)
    assert again.returncode == 0
    assert (folder / "pakar.yaml.old-1").read_text() == "name: mine\n"


def test_chat_with_a_base_model_answers_piped_questions(folder: Path, tiny_base: Path) -> None:
    done = pakar("chat", "--base", tiny_base, cwd=folder, stdin="How can I sleep?\n/new\nWhy?\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"{tiny_base}: ") == 2


def test_shared_options_stand_after_every_command_and_reach_it(folder: Path) -> None:
    for name in ("plan", "run", "prepare", "train", "evaluate", "report", "runs", "compare", "export"):
        shown = pakar(name, "--help", cwd=folder).stdout
        assert all(option in shown for option in ("--runs-dir", "--json", "--quiet", "--verbose")), name
    listed = pakar("runs", "--json", "--runs-dir", "elsewhere", "-q", "-v", cwd=folder)
    assert json.loads(listed.stdout) == {"runs": []}
    assert "No runs in elsewhere" in pakar("runs", "--runs-dir", "elsewhere", cwd=folder).stdout


@pytest.mark.parametrize(
    ("command", "promises"), [("run", True), ("prepare", True), ("export", False), ("plan", False), ("chat", False)]
)
def test_only_commands_that_keep_their_work_promise_to_go_on(command: str, promises: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["pakar", command])
    monkeypatch.setattr(cli, "_carry_out", lambda _: cli.INTERRUPTED)
    with pytest.raises(SystemExit):
        cli.main()
    told = capsys.readouterr().err
    assert "interrupted" in told
    assert ("goes on where this one stopped" in told) == promises
