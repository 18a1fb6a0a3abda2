"""Texts of a plan as the terminal shows them. Colours carry no meaning that signs do not carry where there are none."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from pakar.prepare.plan.content import Plan
from pakar.prepare.plan.mask import Segment
from pakar.prepare.trace import Change, Way
from pakar.report import diff, wording
from pakar.report.console import has_colours, printable
from pakar.report.ledger import masked

CHARACTERS = 700
"""Of a text that are shown."""
MOST_PIECES = 10
"""Of a row that was cut into several."""
SIGNS = {"removed": ("[-", "-]"), "added": ("{+", "+}"), "learnt": ("«", "»")}
STYLES = {"removed": "red strike", "added": "green", "same": ""}


def print_masks(found: Plan, out: Console) -> None:
    """Print examples with what is learnt of them."""
    if not found.masks:
        return
    colours = has_colours(out)
    out.print(Text("\nAs the model will see it", style="bold"))
    if colours:
        out.print(
            Text.assemble(
                "  ",
                ("learnt", "green"),
                "   ",
                ("read, not learnt", "dim"),
                "   ",
                ("mark of the template", "magenta"),
            )
        )
    else:
        out.print(Text(f"  {SIGNS['learnt'][0]}learnt{SIGNS['learnt'][1]}   read, not learnt"))
    for mask in found.masks:
        out.print(Padding(_mask(mask, colours=colours, private=found.private), (1, 0, 0, 2), expand=False))
    if not found.private:
        out.print(Text("  E-mail addresses and long numbers are masked. --show 20 shows rows before and after each operator, as they are.", style="dim"))  # fmt: skip


def _mask(mask: Sequence[Segment], *, colours: bool, private: bool) -> Text:
    shown = Text()
    left, right = SIGNS["learnt"]
    for place, segment in enumerate(mask):
        words = _cut(printable(segment.text if private else masked(segment.text)))
        if colours:
            style = "green" if segment.learnt else "dim"
            shown.append(words, "magenta" + (" bold" if segment.learnt else "") if segment.special else style)
            continue
        begins = segment.learnt and not (place and mask[place - 1].learnt)
        ends = segment.learnt and not (place + 1 < len(mask) and mask[place + 1].learnt)
        shown.append((left if begins else "") + words + (right if ends else ""))
    return shown


def print_ways(found: Plan, out: Console) -> None:
    """Print rows before and after each operator, if that was asked for."""
    if not found.private:
        return
    colours = has_colours(out)
    out.print(Text("\nRow by row", style="bold"))
    if not found.ways:
        out.print(Text("  No operator changed or rejected a row that was looked at."))
    for way in found.ways:
        out.print(Text(f"\n{printable(way.source)}, row {way.offset:,}", style="bold"))
        for change in way.changes:
            if change.pieces:
                _print_pieces(change, out)
                continue
            pieces = diff.words(*diff.window(change.before, change.after, CHARACTERS))
            said = Text.assemble((f"{change.operator}: ", "cyan"), _difference(pieces, colours=colours))
            out.print(Padding(said, (0, 0, 0, 2)))
        if way.rejection is not None:
            _print_rejection(way, out)
        elif way.flags:
            out.print(
                Padding(Text(f"flagged: {printable(', '.join(way.flags))}", style="yellow"), (0, 0, 0, 2), expand=False)
            )


def _print_pieces(change: Change, out: Console) -> None:
    """The row, and the rows that it was cut into."""
    made = len(change.pieces)
    head = Text.assemble((f"{change.operator}: ", "cyan"), printable(_cut(change.before)))
    out.print(Padding(head, (0, 0, 0, 2)))
    for number, piece in enumerate(change.pieces[:MOST_PIECES], 1):
        named = Text.assemble((f"piece {number} of {made}: ", "cyan"), printable(_cut(piece)))
        out.print(Padding(named, (0, 0, 0, 4)))
    if made > MOST_PIECES:
        out.print(Text(f"    … and {wording.count(made - MOST_PIECES, 'pieces')} more", style="dim"))


def _cut(words: str) -> str:
    return words if len(words) <= CHARACTERS else f"{words[:CHARACTERS]}…"


def _print_rejection(way: Way, out: Console) -> None:
    if way.rejection is None:
        return
    operator, reason, detail = way.rejection
    if not way.changes:
        out.print(Padding(Text(printable(_cut(way.raw)), style="dim"), (0, 0, 0, 2), expand=False))
    why = f"rejected by {operator}: {reason}{f' ({detail})' if detail else ''}"
    out.print(Padding(Text(printable(why), style="red"), (0, 0, 0, 2), expand=False))


def _difference(pieces: Sequence[diff.Piece], *, colours: bool) -> Text:
    shown = Text()
    for piece in pieces:
        words = printable(piece.text)
        if piece.kind == "same":
            shown.append(words)
        elif colours:
            shown.append(words.replace("\n", "⏎\n").replace(" ", "·") if words.isspace() else words, STYLES[piece.kind])
        else:
            left, right = SIGNS[piece.kind]
            shown.append(f"{left}{words}{right}")
    return shown
