"""The plan of a training as the terminal shows it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pakar.report import wording
from pakar.train.plan.content import TrainingPlan
from pakar.train.plan.devices import GIB


def show(found: TrainingPlan, out: Console) -> None:
    """Print a plan."""
    out.print(Text("\nWhat training takes", style="bold"))
    out.print(_facts(found))
    out.print(Text(f"\nMemory at its peak, in the {found.memory.when}", style="bold"))
    out.print(_memory(found))
    out.print(_verdict(found))
    for change in found.changes:
        mark = "fits" if change.fits else "still too much"
        out.print(Text(f"  --set {change.override}  →  {size(change.total)}, {mark}"))
    for remark in found.remarks:
        out.print(Padding(Text(remark, style="dim"), (0, 0, 0, 2), expand=False))


def _facts(found: TrainingPlan) -> Table:
    table = _table(("", "left"), ("", "left"))
    table.show_header = False
    for name, said in _lines(found):
        table.add_row(name, said)
    return table


def _lines(found: TrainingPlan) -> Iterator[tuple[str, str]]:
    numbers, setting = found.weights, found.setting
    share = (
        wording.figure(numbers.trainable / numbers.total, "share")
        if numbers.trainable > 0.01 * numbers.total
        else f"{100 * numbers.trainable / numbers.total:.2g} %"
    )
    yield "base model", f"{found.base} ({found.origin})"
    yield "method", found.method
    yield "weights trained", f"{numbers.trainable:,} of {numbers.total:,} ({share})"
    passes = wording.count(setting.passes, "passes").replace("1 passe", "1 pass")
    again = ", activations computed again" if setting.checkpointing else ""
    batch = found.work.batch_size
    told = f"{batch} rows" if isinstance(batch, int) else f"{batch.tokens:,} tokens"
    yield (
        "a step",
        f"{told} in {passes} of at most {setting.rows:,} × {setting.width:,} tokens, {setting.precision}{again}",
    )
    if found.work.steps is not None and found.work.tokens is not None:
        yield (
            "steps",
            f"{found.work.steps:,}, {_rounded(found.work.tokens)} tokens in {wording.count(found.work.epochs, 'epochs')}",
        )
    yield "time", _time(found)
    disk = found.disk
    fetched = f", weights to fetch {size(disk.download)}" if disk.download else ""
    yield "disk", f"checkpoints {size(disk.checkpoints)}, model {size(disk.model)}{fetched}; free: {size(disk.free)}"


def _time(found: TrainingPlan) -> str:
    if found.time.seconds is None or found.device.flops is None:
        return f"not known; {found.time.formula}"
    rate = f"{found.device.flops / 1e12:.3g} TFLOP/s{' measured' if found.device.measured else ' by the data sheet'}"
    return f"about {wording.minutes(found.time.seconds)} (an estimate: {found.time.formula}; {rate})"


def _memory(found: TrainingPlan) -> Table:
    table = _table(("", "left"), ("needs", "right"), ("", "left"))
    for component in found.memory.components:
        table.add_row(component.name, size(component.bytes), Text(component.formula, style="dim"))
    table.add_row(
        "all",
        size(found.memory.total),
        Text(f"{found.device.name} has {size(found.device.memory)}", style="dim"),
        style="bold",
    )
    return table


def _verdict(found: TrainingPlan) -> Text:
    device, disk = found.device, found.disk
    wrong = []
    if disk.total > disk.free:
        wrong.append(f"The disk is too small: {size(disk.total)} are needed, {size(disk.free)} are free.")
    if not found.fits:
        last = (
            "each on top of those above it:"
            if found.changes
            else "nothing in the recipe would make it fit; take a smaller base model or a larger device."
        )
        wrong.append(f"Does not fit {device.name}: {size(found.memory.total)} are needed, {size(device.memory)} are there. What to change, {last}")  # fmt: skip
    if wrong:
        return Text("\n".join(wrong), style="bold red")
    if found.tight:
        return Text(f"Fits {device.name}, but only just.", style="bold yellow")
    return Text(f"Fits {device.name}.", style="bold green")


def size(number: float) -> str:
    """Bytes for people, in powers of 1,024 as devices are sold and torch counts.

    >>> size(5_637_144_576), size(1_500_000)
    ('5.25 GiB', '1.4 MiB')
    """
    return f"{number / GIB:.2f} GiB" if number >= GIB / 10 else f"{number / 2**20:.1f} MiB"


def _rounded(number: float) -> str:
    return f"{float(f'{number:.3g}'):,.0f}"


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, side in columns:
        table.add_column(name, overflow="fold", justify="right" if side == "right" else "left")
    return table
