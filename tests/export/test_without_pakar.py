"""The programs in the documentation and in model cards, run as they stand there, by a Python that has not loaded Pakar."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pakar import export
from pakar.conversation import Message
from pakar.engine.local import LocalEngine
from pakar.evaluate import report
from pakar.export import Request
from pakar.models import base as base_models
from pakar.models import tuned
from pakar.models.prompt import renderer
from pakar.recipe import Sampling
from tests.command import environment
from tests.export.conftest import SYSTEM_PROMPT, Trained

DOCS = Path(__file__).parents[2] / "docs"
QUESTION = "How can I sleep?"
AFTERWARDS = "\nimport sys\nassert not [name for name in sys.modules if name.split('.')[0] == 'pakar']\n"


def snippet(heading: str, page: Path = DOCS / "export.md") -> str:
    """The program that follows a line of the page."""
    _, found, rest = page.read_text(encoding="utf-8").partition(f"\n{heading}\n")
    assert found, heading
    return str(re.findall(r"```python\n(.*?)```", rest, re.DOTALL)[0])


def run_alone(program: str, folder: Path) -> str:
    """What the program prints."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    others = os.pathsep.join(path for path in paths if not (Path(path) / "pakar").exists())
    env = environment() | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": others}
    done = subprocess.run([sys.executable, "-c", program + AFTERWARDS], cwd=folder, env=env, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def greedy(trained: Trained) -> str:
    """What Pakar itself answers, without the system prompt, which the programs on the page do not give either."""
    base = base_models.find(trained.run.recipe.model)
    prompts = renderer(tuned.prompt_renderer(trained.run.model_dir, SYSTEM_PROMPT).tokenizer)
    engine = LocalEngine(tuned.load(trained.run.model_dir, base), prompts, 96)
    return engine.complete([(Message("user", QUESTION),)], Sampling(max_tokens=8), 1)[0].text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, lora: Trained, qlora: Trained) -> Path:
    place = tmp_path_factory.mktemp("exported")
    (place / "base").symlink_to(lora.base)
    (place / "qlora-base").symlink_to(qlora.base)
    export.export(lora.run, Request("merged", "float32", place / "merged"))
    export.export(lora.run, Request("adapter", None, place / "adapter"))
    export.export(lora.run, Request("gguf", "float32", place / "gguf"))
    export.export(qlora.run, Request("adapter", None, place / "qlora-adapter"))
    export.export(qlora.run, Request("merged", "float32", place / "qlora-merged"))
    return place


@pytest.mark.slow
@pytest.mark.parametrize("heading", ["The merged model:", "The adapter, on its base:", "GGUF, with transformers:"])
def test_the_programs_on_the_page_answer_as_pakar_does(folder: Path, lora: Trained, heading: str) -> None:
    assert run_alone(snippet(heading), folder).strip() == greedy(lora).strip()


@pytest.mark.slow
def test_a_qlora_adapter_answers_the_same_on_4_bits_and_merged(folder: Path, qlora: Trained) -> None:
    expected = greedy(qlora).strip()
    in_four_bits = snippet("A QLoRA adapter needs its base in 4 bits:").replace('"base"', '"qlora-base"')
    assert run_alone(in_four_bits, folder).strip() == expected
    merged = snippet("The merged model:").replace('"merged"', '"qlora-merged"')
    assert run_alone(merged, folder).strip() == expected


@pytest.mark.slow
def test_one_call_loads_an_adapter_whose_base_is_found_by_its_name(folder: Path, lora: Trained, tmp_path: Path) -> None:
    program = snippet(
        "Where the base model is on a hub, the adapter's configuration names it, and one call loads both:"
    )
    (folder / lora.base.name).symlink_to(lora.base)
    assert run_alone(program + "print(type(model.base_model).__name__)", folder).strip() == "LoraModel"


ANSWER = """
prompt = tokenizer.apply_chat_template([{"role": "user", "content": "How can I sleep?"}], add_generation_prompt=True, return_tensors="pt", return_dict=True)
answer = model.generate(**prompt, max_new_tokens=8, do_sample=False, eos_token_id=tokenizer.eos_token_id)
print(tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))
"""


@pytest.mark.slow
def test_the_model_in_a_run_directory_loads_as_its_page_says(lora: Trained, tmp_path: Path) -> None:
    (tmp_path / "src" / "pakar").mkdir(parents=True)
    (tmp_path / "src" / "pakar" / "starter").symlink_to(lora.base)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "quickstart").symlink_to(lora.run.directory)
    heading = "The model directory loads without Pakar. An adapter stands on its base model, here the bundled one:"
    program = snippet(heading, DOCS / "run-directory.md")
    assert run_alone(program + ANSWER, tmp_path).strip() == greedy(lora).strip()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lora", "rounded", "qlora", "full"])
def test_the_program_in_a_runs_card_loads_its_model(request: pytest.FixtureRequest, kind: str) -> None:
    trained: Trained = request.getfixturevalue(kind)
    report.write(trained.run)
    program = snippet("## How to load it", trained.run.model_card_file).replace('"BASE"', f'"{trained.base}"')
    loading = program.partition("messages = ")[0]
    run_alone(program, trained.run.directory)
    assert ('dtype="bfloat16"' in loading) == (kind == "rounded")
    if kind != "qlora":  # Pakar measures in float32, with the weights as they were rounded
        loading += "model.float()\n"
    assert run_alone(loading + ANSWER, trained.run.directory).strip() == greedy(trained).strip()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
def test_llama_cpp_answers_as_pakar_does(folder: Path, lora: Trained) -> None:
    answer = run_alone(snippet("With llama.cpp, through llama-cpp-python:"), folder)
    # The wrapper leaves out bytes that are no letters, of which a model of this size writes many, and then goes on for a token.
    whole = "".join(letter for letter in greedy(lora) if letter.isascii())
    assert whole
    assert answer.startswith(whole)
