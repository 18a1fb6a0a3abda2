"""Options that several commands share, declared once: a command takes a whole group of them as one value."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar, cast, get_type_hints

import typer

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_RUNS_DIR = Path("runs")

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe file.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name or directory of a run.")]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override one recipe value, such as train.epochs=3. May be repeated."
    ),
]
Restart = Annotated[bool, typer.Option("--restart", help="Throw an unfinished training away and begin it again.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout instead of text.")]
RunsDir = Annotated[Path, typer.Option("--runs-dir", help="Where run directories are.", envvar="PAKAR_RUNS_DIR")]


class Output(NamedTuple):
    """Where runs are, and how much is said."""

    runs_dir: RunsDir = DEFAULT_RUNS_DIR
    as_json: AsJson = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")] = False
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show what the libraries below have to say, too.")
    ] = False


class Upload(NamedTuple):
    """What becomes of an export on a hub."""

    push: Annotated[
        str | None, typer.Option("--push", metavar="OWNER/NAME", help="Then upload it to this hub repository.")
    ] = None
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public; else it is private.")] = False
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --push: only say what would be uploaded. Touches no network.")
    ] = False


def grouped(command: Command) -> Command:
    """Let the command line give each field of a command's `NamedTuple` parameters as an option of its own.

    Typer reads a command's signature. The command that it gets to see has the fields of the groups in place of the groups.
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if hasattr(hint, "_fields")}
    own = [each.replace(annotation=hints[name]) for name, each in inspect.signature(command).parameters.items() if name not in groups]  # fmt: skip
    options = [option for group in groups.values() for option in _options(group)]

    @functools.wraps(command)
    def carried_out(**given: Any) -> Any:
        values = {name: group(**{field: given.pop(field) for field in group._fields}) for name, group in groups.items()}
        return command(**given, **values)

    carried_out.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
    carried_out.__annotations__ = {option.name: option.annotation for option in [*own, *options]}
    return cast("Command", carried_out)


def _options(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=group._field_defaults[name], annotation=hints[name]
        )
        for name in group._fields
    ]
