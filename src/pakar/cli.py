"""The command line: a thin shell over typed functions. Nothing heavy is imported until a command needs it."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pakar import __version__
from pakar.errors import UsageError, UserError, out_of_resources
from pakar.options import (
    DEFAULT_RUNS_DIR,
    AsJson,
    Output,
    Overrides,
    RecipePath,
    Restart,
    RunName,
    RunsDir,
    Upload,
    grouped,
)

if TYPE_CHECKING:
    from pakar.recipe import Recipe
    from pakar.run import Run

# ruff: noqa: PLC0415 - `pakar --help` must answer in a blink, so every command imports what it needs itself

INTERRUPTED = 130
_GO_ON = (["run"], ["prepare"], ["train"], ["evaluate"])
"""Commands that keep what they have done when they are interrupted; the others begin again."""
DEFAULT_RECIPE = Path("pakar.yaml")

app = typer.Typer(
    name="pakar",
    help="Turn a domain's questions and answers into a specialist assistant: prepare, train, evaluate.",
    epilog="First steps: `pakar init DATA-FILE` looks at your data and writes pakar.yaml; `pakar run` does the rest.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Entry point: runs a command and turns what went wrong into words and an exit code."""
    arguments = sys.argv[1:]
    try:
        code = _carry_out(arguments)
    except typer.TyperException as error:  # the command line itself is wrong
        code = _usage(error)
    except UserError as error:
        code = _fail(str(error), error.exit_code, arguments)
    except SystemExit as ended:  # another process of the same training tells why
        code = ended.code
    except BaseException as error:
        resources = out_of_resources(error, arguments[0] if arguments else "")
        if resources is not None:
            code = _fail(str(resources), resources.exit_code, arguments)
        else:
            traceback.print_exc()
            code = _fail("this is a fault in Pakar, not yours; please report it with the lines above", 1, arguments)
    if code == INTERRUPTED:
        goes_on = "; the same command goes on where this one stopped" if arguments[:1] in _GO_ON else ""
        _fail(f"interrupted{goes_on}", INTERRUPTED, arguments)
    sys.exit(code if isinstance(code, int) else 0)


def _carry_out(arguments: list[str]) -> Any:
    """Do what was typed; where torchrun started several of this process, only the first does, and trains with the others."""
    if os.environ.get("WORLD_SIZE", "1") == "1" or arguments[:1] not in (["train"], ["run"]):
        return app(args=arguments, standalone_mode=False)
    from pakar import progress

    if not {"-v", "--verbose"} & set(arguments):
        progress.silence_libraries()
    from pakar.train.launch import start
    from pakar.train.stage import fit

    return start.among_several(lambda: app(args=arguments, standalone_mode=False), fit)


@app.command()
def init(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Data file or folder to look at.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Recipe file to write.")] = DEFAULT_RECIPE,
    shape: Annotated[
        str, typer.Option("--shape", help="Which columns to take, such as '{kind: pairs, question: Q, answer: A}'.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Look at a data file, show what was recognised, and write a commented recipe for it."""
    from pakar import files, recipe_file
    from pakar.prepare import discover, draft

    discovery = discover.look(data, recipe_file.shape(shape)) if shape else discover.look(data)
    recipe = draft.recipe_yaml(discovery, output)
    kept = _set_aside(output, recipe)
    files.write_text(output, recipe)
    if as_json:
        return _print_json(
            {"recipe": str(output), "data": str(data), "format": discovery.format, "rows": discovery.rows}
        )
    typer.echo(discover.describe(discovery))
    if kept:
        typer.echo(f"The {output} that was here is now {kept}.")
    command = "pakar run" if output == DEFAULT_RECIPE else f"pakar run {output}"
    return typer.echo(f"\nWrote {output}. Next: look into it, then `{command}`.")


@app.command()
def check(
    recipe: RecipePath = DEFAULT_RECIPE,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of recipes, for editors.")] = False,
    as_json: AsJson = False,
) -> None:
    """Validate a recipe and say everything that is wrong with it at once."""
    from pakar import recipe_file

    if schema:
        return typer.echo(recipe_file.json_schema())
    loaded = recipe_file.load(recipe, overrides)
    if as_json:
        return _print_json(loaded.model_dump(mode="json"))
    return typer.echo(
        f"{recipe} is a valid recipe: run {loaded.name!r}, {len(loaded.prepare.sources)} source(s), {loaded.train.method.kind}."
    )


@app.command()
@grouped
def plan(
    recipe: RecipePath = DEFAULT_RECIPE,
    show: Annotated[
        int,
        typer.Option(
            "--show", min=0, help="Show so many rows before and after each operator. Shows texts of your data."
        ),
    ] = 0,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Rows of each source that are looked at.")] = 2_000,
    device: Annotated[
        str,
        typer.Option(
            "--device", help="Plan the training for a device you need not have: T4, L4, A10G, H100, …, or 16GiB."
        ),
    ] = "",
    overrides: Overrides = [],  # noqa: B006
    *,
    output: Output,
) -> None:
    """Say what would become of the data, and what training takes: memory, time, disk, and whether it fits. Writes nothing."""
    loaded = _load(recipe, overrides, output)
    from pakar import planning
    from pakar.report.console import console

    found = planning.look(loaded, planning.Question(rows=rows, show=show, device=device, runs_dir=output.runs_dir))
    if output.as_json:
        _print_json(planning.as_json(found))
    else:
        planning.show(found, console())
    if found.exit_code:
        raise typer.Exit(found.exit_code)


@app.command()
@grouped
def run(
    recipe: RecipePath = DEFAULT_RECIPE,
    overrides: Overrides = [],  # noqa: B006
    restart: Restart = False,
    *,
    output: Output,
) -> None:
    """Do everything: prepare, train, evaluate, report. Stages whose inputs are unchanged are skipped."""
    loaded = _load(recipe, overrides, output)
    from pakar.pipeline import run_all

    _show(run_all(loaded, output.runs_dir, _command(recipe, overrides, output.runs_dir), restart=restart), output)


@app.command()
@grouped
def prepare(
    recipe: RecipePath = DEFAULT_RECIPE,
    overrides: Overrides = [],  # noqa: B006
    *,
    output: Output,
) -> None:
    """Only the first stage: read, clean, split and tokenise the data; show where every row went and how long they are."""
    this = _begin(recipe, overrides, output)
    from pakar import files
    from pakar.prepare.scratch.stage import make_base
    from pakar.prepare.stage import prepare as prepare_stage
    from pakar.report import data
    from pakar.report.console import console
    from pakar.report.data import terminal

    make_base(this)
    prepare_stage(this)
    data.write(this)
    if output.as_json:
        ledger = files.read_json(this.ledger_file)
        return _print_json(ledger | {"statistics": files.read_json(this.statistics_file)})
    return console().print(terminal.summary(this))


@app.command()
@grouped
def train(
    recipe: RecipePath = DEFAULT_RECIPE,
    overrides: Overrides = [],  # noqa: B006
    restart: Restart = False,
    *,
    output: Output,
) -> None:
    """Only the second stage: train on what prepare left."""
    this = _begin(recipe, overrides, output)
    from pakar import files
    from pakar.train.stage import train as train_stage

    train_stage(this, restart=restart)
    facts = files.read_json(this.training_file)
    if output.as_json:
        return _print_json(facts)
    return typer.echo(f"The tuned model is in {this.model_dir}.")


@app.command()
@grouped
def evaluate(
    recipe: RecipePath = DEFAULT_RECIPE,
    overrides: Overrides = [],  # noqa: B006
    *,
    output: Output,
) -> None:
    """Only the third stage and the report: measure base and tuned model on the test split."""
    this = _begin(recipe, overrides, output)
    from pakar.evaluate.report import write
    from pakar.evaluate.stage import evaluate as evaluate_stage

    evaluate_stage(this)
    write(this)
    _show(this, output)


@app.command()
@grouped
def report(name: RunName, *, output: Output) -> None:
    """Write the report of a run again and show its table."""
    from pakar.evaluate.report import write
    from pakar.run import find

    this = find(name, output.runs_dir)
    write(this)
    _show(this, output)


@app.command()
@grouped
def runs(*, output: Output) -> None:
    """List the runs and how far each is."""
    from pakar import files

    found = [
        record for path in sorted(output.runs_dir.glob("*/run.json")) if (record := files.read_json_if_whole(path))
    ]
    if output.as_json:
        return _print_json({"runs": found})
    for record in found:
        done = ", ".join(stage for stage, state in record["stages"].items() if state["finished"])
        typer.echo(f"{record['name']:24} {record['written']}  finished: {done or 'nothing yet'}")
    return typer.echo("" if found else f"No runs in {output.runs_dir}. `pakar run RECIPE` makes one.", nl=not found)


@app.command()
@grouped
def compare(
    first: Annotated[str, typer.Argument(metavar="RUN", help="Name or directory of a run.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="Another one.")],
    *,
    output: Output,
) -> None:
    """Tell what two runs were made from differently (recipe, data, machine), and how their results differ."""
    from pakar import compare as comparing
    from pakar.run import find

    one, other = find(first, output.runs_dir), find(second, output.runs_dir)
    if output.as_json:
        return _print_json(comparing.as_json(one, other))
    return typer.echo(comparing.described(one, other))


@app.command()
def chat(
    name: Annotated[str | None, typer.Argument(metavar="RUN", help="Name or directory of a run.")] = None,
    system: Annotated[str, typer.Option("--system", help="Who answers: base, tuned, or both side by side.")] = "tuned",
    base: Annotated[str | None, typer.Option("--base", help="Chat with a base model instead of a run.")] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Fixes the choice of words when the recipe's temperature is not 0.")
    ] = 1,
    runs_dir: RunsDir = DEFAULT_RUNS_DIR,
) -> None:
    """Talk with the tuned model, the base model, or both, in the terminal."""
    if system not in ("base", "tuned", "both"):
        raise UsageError(f"--system {system}: expected base, tuned or both")
    if (name is None) == (base is None):
        raise UsageError("name either a RUN or --base MODEL", next_step="`pakar runs` lists your runs.")
    from pakar import progress

    progress.silence_libraries()
    from pakar import chat as terminal

    speakers = terminal.of_base(base) if base is not None else terminal.of_run(str(name), runs_dir, system)
    terminal.talk(speakers, seed)


@app.command()
@grouped
def export(
    name: RunName,
    kind: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="KIND",
            help="adapter (PEFT), merged (safetensors) or gguf (llama.cpp); the last two also with a number format: "
            "merged:bfloat16, gguf:q8_0. Without one: that of the base model, for small merged ones float32.",
        ),
    ] = "merged",
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Directory to write; by default in the run directory.")
    ] = None,
    *,
    upload: Upload,
    output: Output,
) -> None:
    """Write the tuned model for use without Pakar, after proving that it is the one that was trained."""
    if upload.push is None and (upload.dry_run or upload.public):
        raise UsageError("--dry-run and --public go with --push OWNER/NAME only")
    _calm(output)
    from pakar import export as exporting
    from pakar.export import hub, request, terminal
    from pakar.run import find

    wanted = request.checked(kind, to)
    if upload.push is not None:
        hub.check_name(upload.push)
    this = find(name, output.runs_dir)
    uploads = upload.push is not None and not upload.dry_run
    if uploads:
        hub.check_ready(str(upload.push))
    done = exporting.export(this, wanted)
    address = exporting.push(done.directory, str(upload.push), private=not upload.public) if uploads else None
    if output.as_json:
        return _print_json(done.as_json() | {"push": upload.push, "pushed": address})
    return typer.echo(terminal.described(done, upload.push, address))


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False) -> None:
    if version:
        typer.echo(f"pakar {__version__}")
        raise typer.Exit


def _load(recipe: Path, overrides: list[str], output: Output) -> Recipe:
    from pakar import recipe_file

    _calm(output)
    return recipe_file.load(recipe, overrides)


def _calm(output: Output) -> None:
    from pakar import progress

    if output.quiet:
        progress.quiet()
    if not output.verbose:
        progress.silence_libraries()


def _begin(recipe: Path, overrides: list[str], output: Output) -> Run:
    """The run that a command for one stage works on."""
    loaded = _load(recipe, overrides, output)
    from pakar.run import begin

    return begin(loaded, output.runs_dir, _command(recipe, overrides, output.runs_dir))


def _command(recipe: Path, overrides: list[str], runs_dir: Path) -> list[str]:
    """The command that repeats the whole run."""
    elsewhere = [] if runs_dir == DEFAULT_RUNS_DIR else ["--runs-dir", str(runs_dir)]
    return ["pakar", "run", str(recipe), *(word for override in overrides for word in ("--set", override)), *elsewhere]


def _show(this: Run, output: Output) -> None:
    from pakar import files
    from pakar.evaluate.report import terminal_summary

    if output.as_json:
        _print_json(files.read_json(this.report_json))
    else:
        typer.echo(terminal_summary(this))


def _set_aside(output: Path, new: str) -> Path | None:
    """Keep a recipe that is in the way under a free name; edits of users are never overwritten."""
    if output.is_dir():
        raise UsageError(f"--output {output} is a directory; expected a file name such as {output / 'pakar.yaml'}")
    if not output.exists() or output.read_text(encoding="utf-8", errors="replace") == new:
        return None
    spare = next(p for n in range(1, 10_000) if not (p := output.with_name(f"{output.name}.old-{n}")).exists())
    output.rename(spare)
    return spare


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False))


def _usage(error: typer.TyperException) -> int:
    """Show a mistake on the command line as typer does."""
    show = getattr(error, "show", None)
    if show is None:
        raise error
    show()
    return int(getattr(error, "exit_code", 2))


def _fail(message: str, code: int, arguments: list[str]) -> int:
    """Say on stderr what went wrong; with --json also as the one object on stdout."""
    typer.echo(f"error: {message}", err=True)
    if "--json" in arguments:
        _print_json({"error": message, "exit_code": code})
    return code
