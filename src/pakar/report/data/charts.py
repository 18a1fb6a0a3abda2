"""The pictures of the data page. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from pakar.report import svg, wording
from pakar.report.data.content import Loss
from pakar.report.ledger import Ledger

STEP = 46
"""Height of one step of the flow, in pixels: a line of words, then a bar."""
BAR = 14
THINNEST = 0.5
"""A bar that stands for anything is at least so wide, in per cent."""
SPLIT_KINDS = {"train": "kept", "validation": "second", "test": "third"}


def flow(ledger: Ledger, losses: Sequence[Loss]) -> Markup:
    """From the rows that came in, reason by reason, to the rows kept and their splits; widths are rows."""
    parts: list[Markup] = []
    left, down = ledger.rows_in, 0
    parts += [*_words(f"{left:,}", "rows in", "", down), _bar(0, left, ledger.rows_in, down, "kept")]
    for loss in losses:
        before, left = left, left - loss.rows
        parts.append(_band(before, ledger.rows_in, down))
        down += STEP
        share = wording.figure(loss.rows / max(ledger.rows_in, 1), "share")
        parts += _words(f"\N{MINUS SIGN} {loss.rows:,}", f"{loss.reason} ({loss.operator})", share, down)
        parts.append(_bar(0, left, ledger.rows_in, down, "kept"))
        parts.append(_bar(left, before, ledger.rows_in, down, "lost"))
    parts.append(_band(left, ledger.rows_in, down))
    down += STEP
    share = wording.figure(ledger.kept / max(ledger.rows_in, 1), "share")
    parts += [*_words(f"{ledger.kept:,}", "rows kept", share, down)]
    parts += _splits(ledger, down)
    return svg.picture("From rows in to rows kept", _flow_in_words(ledger, losses), down + STEP - 12, parts)


def histogram(numbers: Mapping[str, Any], unit: str, limit: int | None = None) -> Markup:
    """How many rows have which length; `limit` is drawn as a line where it lies in the picture."""
    shape = numbers["histogram"]
    start, width, counts = int(shape["from"]), int(shape["width"]), list(shape["counts"])
    top, height = 18, 96
    base = top + height
    end = start + width * len(counts)
    across = svg.Scale(start, end, 0, 100)
    tallest = max(counts) or 1
    parts = [svg.tag("line", x1="0%", x2="100%", y1=base, y2=base, class_="axis")]
    for place, rows in enumerate(counts):
        if rows:
            tall = max(height * rows / tallest, 1.5)
            begin, stop = across(start + place * width), across(start + (place + 1) * width)
            over = limit is not None and start + place * width > limit
            parts.append(
                svg.tag("rect", x=svg.percent(begin), y=round(base - tall, 1), width=svg.percent((stop - begin) * 0.9),
                        height=round(tall, 1), class_="lost" if over else "bar system")
            )  # fmt: skip
    parts += _axis(start, end, across, base, is_open=bool(shape.get("open")))
    if limit is not None and start < limit < end:
        x = across(limit)
        anchor = "end" if x > 60 else "start"
        parts.append(svg.tag("line", x1=svg.percent(x), x2=svg.percent(x), y1=top - 4, y2=base, class_="limit"))
        parts.append(svg.text(f"context: {limit:,}", x + (-1 if anchor == "end" else 1), top + 6, "note", anchor))
    said = (
        f"{numbers['count']:,} rows, mean {numbers['mean']:,.1f}, from {numbers['min']:,} to {numbers['max']:,} {unit}."
    )
    return svg.picture(f"Rows by {unit}", said, base + 22, parts)


def shares(named: Iterable[tuple[str, float]], title: str) -> Markup:
    """One bar a name, as long as its share."""
    rows = list(named)
    parts: list[Markup] = []
    for place, (name, share) in enumerate(rows):
        down = place * 30
        parts.append(svg.text(name, 0, down + 12, "name", "start"))
        parts.append(svg.text(wording.figure(share, "share"), 100, down + 12, "label", "end"))
        parts.append(svg.tag("rect", x="0%", y=down + 17, width="100%", height=5, class_="band"))
        parts.append(
            svg.tag("rect", x="0%", y=down + 17, width=svg.percent(max(100 * share, THINNEST)), height=5, class_="kept")
        )
    said = ", ".join(f"{name} {wording.figure(share, 'share')}" for name, share in rows)
    return svg.picture(title, f"{said}.", 30 * max(len(rows), 1), parts)


def _words(number: str, name: str, share: str, down: int) -> list[Markup]:
    """The line above a bar: a number, what it counts, and at the right end its share of all rows."""
    label = svg.tag("tspan", f"  {name}", class_="what")
    said = svg.tag("text", number, " ", label, x="0%", y=down + 12, class_="name", text_anchor="start")
    return [said, *([svg.text(share, 100, down + 12, "label plain", "end")] if share else [])]


def _bar(start: int, end: int, whole: int, down: int, kind: str) -> Markup:
    if end <= start:
        return Markup("")
    left, right = 100 * start / max(whole, 1), 100 * end / max(whole, 1)
    wide = max(right - left, THINNEST)
    return svg.tag(
        "rect", x=svg.percent(min(left, 100 - wide)), y=down + 18, width=svg.percent(wide), height=BAR, class_=kind
    )


def _band(rows: int, whole: int, down: int) -> Markup:
    """What flows on to the next step."""
    y = down + 18 + BAR
    return svg.tag("rect", x="0%", y=y, width=svg.percent(100 * rows / max(whole, 1)), height=STEP - BAR, class_="flow")


def _splits(ledger: Ledger, down: int) -> list[Markup]:
    drawn, start = [], 0
    for name, rows in ledger.splits.items():
        drawn.append(_bar(start, start + rows, ledger.rows_in, down, SPLIT_KINDS.get(name, "kept")))
        start += rows
    return drawn


def _axis(start: int, end: int, across: svg.Scale, base: int, *, is_open: bool) -> list[Markup]:
    ticks = [tick for tick in svg.ticks(start, end, 5) if start <= tick <= end and tick == int(tick)]
    drawn = []
    for tick in ticks:
        more = "+" if is_open and tick == ticks[-1] else ""
        drawn.append(svg.text(f"{tick:,.0f}{more}", across(tick), base + 15, "label", svg.anchor(across(tick), 0, 100)))
    return drawn


def _flow_in_words(ledger: Ledger, losses: Sequence[Loss]) -> str:
    lost = (
        "; ".join(f"{loss.operator} rejects {loss.rows:,} as {loss.reason}" for loss in losses) or "nothing is rejected"
    )
    splits = ", ".join(f"{rows:,} {name}" for name, rows in ledger.splits.items())
    return f"{ledger.rows_in:,} rows in; {lost}; {ledger.kept:,} kept: {splits}."
