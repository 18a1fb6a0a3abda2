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
from pakar.errors import UserError, out_of_resources

if TYPE_CHECKING:
    from pakar.recipe import Recipe
    from pakar.run import Run

# ruff: noqa: PLC0415 - `pakar --help` must answer in a blink, so every command imports what it needs itself

INTERRUPTED = 130
DEFAULT_RECIPE = Path("pakar.yaml")
DEFAULT_RUNS_DIR = Path("runs")

app = typer.Typer(
    name="pakar",
    help="Turn a domain's questions and answers into a specialist assistant: prepare, train, evaluate.",
    epilog="First steps: `pakar init DATA-FILE` looks at your data and writes pakar.yaml; `pakar run` does the rest.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe file.")]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override one recipe value, such as train.epochs=3. May be repeated."
    ),
]
RunsDir = Annotated[Path, typer.Option("--runs-dir", help="Where run directories are.", envvar="PAKAR_RUNS_DIR")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")]
Restart = Annotated[bool, typer.Option("--restart", help="Throw an unfinished training away and begin it again.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show what the libraries below have to say, too.")]


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
        resources = out_of_resources(error)
        if resources is not None:
            code = _fail(str(resources), resources.exit_code, arguments)
        else:
            traceback.print_exc()
            code = _fail("this is a fault in Pakar, not yours; please report it with the lines above", 1, arguments)
    if code == INTERRUPTED:
        goes_on = "" if arguments[:1] == ["chat"] else "; the same command goes on where this one stopped"
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
    runs_dir: RunsDir = DEFAULT_RUNS_DIR,
    as_json: AsJson = False,
) -> None:
    """Say what would become of the data, and what training takes: memory, time, disk, and whether it fits. Writes nothing."""
    loaded = _load(recipe, overrides, quiet=False, verbose=False)
    from pakar import planning
    from pakar.report.console import console

    found = planning.look(loaded, planning.Question(rows=rows, show=show, device=device, runs_dir=runs_dir))
    if as_json:
        _print_json(planning.as_json(found))
    else:
        planning.show(found, console())
    if found.exit_code:
        raise typer.Exit(found.exit_code)


@app.command()
def run(
    recipe: RecipePath = DEFAULT_RECIPE,
    overrides: Overrides = [],  # noqa: B006
    runs_dir: RunsDir = DEFAULT_RUNS_DIR,
    restart: Restart = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Do everything: prepare, train, evaluate, report. Stages whose inputs are unchanged are skipped."""
    loaded = _load(recipe, overrides, quiet=quiet, verbose=verbose)
    from pakar.pipeline import run_all

    _show(run_all(loaded, runs_dir, _command(recipe, overrides, runs_dir), restart=restart), as_json=as_json)


@app.command()
def prepare(
    recipe: RecipePath = DEFAULT_RECIPE,
    overrides: Overrides = [],  # noqa: B006
    runs_dir: RunsDir = DEFAULT_RUNS_DIR,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Only the first stage: read, clean, split and tokenise the data; show where every row went and how long they are."""
    this = _begin(recipe, overrides, runs_dir, quiet=quiet, verbose=verbose)
    from pakar import files
    from pakar.prepare.stage import prepare as prepare_stage
    from pakar.report import data
    from pakar.report.console import console
    from pakar.report.data import terminal

    prepare_stage(this)
    data.write(this)
    if as_json:
        ledger = files.read_json(this.ledger_file)
        return _print_json(ledger | {"statistics": files.read_json(this.statistics_file)})
    return console().print(terminal.summary(this))


@app.command()
def train(
    recipe: RecipePath = DEFAULT_RECIPE,
    overrides: Overrides = [],  # noqa: B006
    runs_dir: RunsDir = DEFAULT_RUNS_DIR,
    restart: Restart = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Only the second stage: train on what prepare left."""
    this = _begin(recipe, overrides, runs_dir, quiet=quiet, verbose=verbose)
    from pakar import files
    from pakar.train.stage import train as train_stage

    train_stage(this, restart=restart)
    facts = files.read_json(this.training_file)
    if as_json:
        return _print_json(facts)
    return typer.echo(f"The tuned model is in {this.model_dir}.")


@app.command()
def evaluate(
    recipe: RecipePath = DEFAULT_RECIPE,
    overrides: Overrides = [],  # noqa: B006
    runs_dir: RunsDir = DEFAULT_RUNS_DIR,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Only the third stage and the report: measure base and tuned model on the test split."""
    this = _begin(recipe, overrides, runs_dir, quiet=quiet, verbose=verbose)
    from pakar.evaluate.report import write
    from pakar.evaluate.stage import evaluate as evaluate_stage

    evaluate_stage(this)
    write(this)
    _show(this, as_json=as_json)


@app.command()
def report(
    name: Annotated[str, typer.Argument(metavar="RUN", help="Name or directory of a run.")],
    runs_dir: RunsDir = DEFAULT_RUNS_DIR,
    as_json: AsJson = False,
) -> None:
    """Write the report of a run again and show its table."""
    from pakar.evaluate.report import write
    from pakar.run import find

    this = find(name, runs_dir)
    write(this)
    _show(this, as_json=as_json)


@app.command()
def runs(runs_dir: RunsDir = DEFAULT_RUNS_DIR, as_json: AsJson = False) -> None:
    """List the runs and how far each is."""
    from pakar import files

    found = [record for path in sorted(runs_dir.glob("*/run.json")) if (record := files.read_json_if_whole(path))]
    if as_json:
        return _print_json({"runs": found})
    for record in found:
        done = ", ".join(stage for stage, state in record["stages"].items() if state["finished"])
        typer.echo(f"{record['name']:24} {record['written']}  finished: {done or 'nothing yet'}")
    return typer.echo("" if found else f"No runs in {runs_dir}. `pakar run RECIPE` makes one.", nl=not found)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="RUN", help="Name or directory of a run.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="Another one.")],
    runs_dir: RunsDir = DEFAULT_RUNS_DIR,
    as_json: AsJson = False,
) -> None:
    """Tell what two runs were made from differently: recipe, data, code, versions, machine."""
    from pakar.compare import compare as compared
    from pakar.run import find

    found = compared(find(first, runs_dir), find(second, runs_dir))
    if as_json:
        _print_json({"differences": [one._asdict() for one in found]})
        return
    if not found:
        typer.echo("Both runs were made from the same, by the same, and came out the same.")
    for one in found:
        typer.echo(f"{one.name}: {one.first} → {one.second}")


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
        raise UsageMistakeError(f"--system {system}: expected base, tuned or both")
    if (name is None) == (base is None):
        raise UsageMistakeError("name either a RUN or --base MODEL", next_step="`pakar runs` lists your runs.")
    from pakar import progress

    progress.silence_libraries()
    from pakar import chat as terminal

    speakers = terminal.of_base(base) if base is not None else terminal.of_run(str(name), runs_dir, system)
    terminal.talk(speakers, seed)


@app.command()
def export(  # noqa: PLR0913, PLR0917 - every option of a command is an argument here
    name: Annotated[str, typer.Argument(metavar="RUN", help="Name or directory of a run.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Directory to write; by default in the run directory.")
    ] = None,
    format_name: Annotated[
        str,
        typer.Option("--format", metavar="FORMAT", help="adapter (PEFT), merged (safetensors) or gguf (llama.cpp)."),
    ] = "merged",
    dtype: Annotated[
        str,
        typer.Option("--dtype", help="auto (as the base model), float32, bfloat16, float16; of gguf also q8_0."),
    ] = "auto",
    repository: Annotated[
        str | None, typer.Option("--push", metavar="OWNER/NAME", help="Then upload it to this hub repository.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public; else it is private.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --push: only say what would be uploaded. Touches no network.")
    ] = False,
    runs_dir: RunsDir = DEFAULT_RUNS_DIR,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write the tuned model for use without Pakar, after proving that it is the one that was trained."""
    if repository is None and (dry_run or public):
        raise UsageMistakeError("--dry-run and --public go with --push OWNER/NAME only")
    _calm(quiet=quiet, verbose=verbose)
    from pakar import export as exporting
    from pakar.export import hub, request, terminal
    from pakar.run import find

    wanted = request.checked(format_name, dtype, to)
    if repository is not None:
        hub.check_name(repository)
    done = exporting.export(find(name, runs_dir), wanted)
    address = exporting.push(done.directory, repository, private=not public) if repository and not dry_run else None
    if as_json:
        return _print_json(done.as_json() | {"push": repository, "pushed": address})
    return typer.echo(terminal.described(done, repository, address))


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False) -> None:
    if version:
        typer.echo(f"pakar {__version__}")
        raise typer.Exit


class UsageMistakeError(UserError):
    """The command line itself is wrong."""

    exit_code = 2


def _load(recipe: Path, overrides: list[str], *, quiet: bool, verbose: bool) -> Recipe:
    from pakar import recipe_file

    _calm(quiet=quiet, verbose=verbose)
    return recipe_file.load(recipe, overrides)


def _calm(*, quiet: bool, verbose: bool) -> None:
    from pakar import progress

    if quiet:
        progress.quiet()
    if not verbose:
        progress.silence_libraries()


def _begin(recipe: Path, overrides: list[str], runs_dir: Path, *, quiet: bool, verbose: bool) -> Run:
    """The run that a command for one stage works on."""
    loaded = _load(recipe, overrides, quiet=quiet, verbose=verbose)
    from pakar.run import begin

    return begin(loaded, runs_dir, _command(recipe, overrides, runs_dir))


def _command(recipe: Path, overrides: list[str], runs_dir: Path) -> list[str]:
    """The command that repeats the whole run."""
    elsewhere = [] if runs_dir == DEFAULT_RUNS_DIR else ["--runs-dir", str(runs_dir)]
    return ["pakar", "run", str(recipe), *(word for override in overrides for word in ("--set", override)), *elsewhere]


def _show(this: Run, *, as_json: bool) -> None:
    from pakar import files
    from pakar.evaluate.report import terminal_summary

    if as_json:
        _print_json(files.read_json(this.report_json))
    else:
        typer.echo(terminal_summary(this))


def _set_aside(output: Path, new: str) -> Path | None:
    """Keep a recipe that is in the way under a free name; edits of users are never overwritten."""
    if output.is_dir():
        raise UsageMistakeError(
            f"--output {output} is a directory; expected a file name such as {output / 'pakar.yaml'}"
        )
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
