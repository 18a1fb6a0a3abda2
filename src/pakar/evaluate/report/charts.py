"""The pictures of the report. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from pakar.evaluate.report.content import Comparison, Lengths, LossCurve
from pakar.report import svg, wording
from pakar.report.ledger import Ledger

LEFT, WIDTH = 8.0, 92.0
"""Where the plot begins and how wide it is, in per cent of the picture; left of it stand the labels."""
INNER = 1000
"""Width and height of the stretched inner picture, in its own units."""


def loss_curve(curve: LossCurve) -> Markup:
    """Training loss (pale: every step, strong: smoothed), validation loss as dots, a ring around the best one."""
    top, height = 14, 210
    losses = [loss for line in (curve.train, curve.validation) for _, loss in line]
    ticks = svg.ticks(min(losses), max(losses), 5)
    last = max((step for line in (curve.train, curve.validation) for step, _ in line), default=1) or 1
    across, down = svg.Scale(0, last, LEFT, LEFT + WIDTH), svg.Scale(ticks[0], ticks[-1], top + height, top)
    inner = (svg.Scale(0, last, 0, INNER), svg.Scale(ticks[0], ticks[-1], INNER, 0))
    lines = [("raw", curve.train), ("smoothed", curve.smoothed), ("validation", curve.validation)]
    drawn = [
        svg.tag("path", d=_path(points, *inner), class_=f"line {name}", vector_effect="non-scaling-stroke")
        for name, points in lines
    ]
    marks = [svg.dot(across(step), down(loss), 3.5, "dot") for step, loss in curve.validation]
    parts = [
        *_horizontal_grid(ticks, down),
        *_step_labels(last, across, top + height + 18),
        svg.tag("svg", *drawn, x=f"{LEFT}%", y=top, width=f"{WIDTH}%", height=height,
             viewBox=f"0 0 {INNER} {INNER}", preserveAspectRatio="none", overflow="visible"),
        *marks,
        *(_best(curve.best, across, down) if curve.best else ()),
    ]  # fmt: skip
    return svg.picture("Loss during training", _loss_in_words(curve), top + height + 26, parts)


def lengths(systems: Sequence[Lengths], target: tuple[int, int]) -> Markup:
    """Words per answer as one small histogram a system, with the wanted range shaded behind all of them."""
    row, bars, head = 84, 46, 20
    longest = _longest_shown(systems, target)
    width = max(1, round(svg.nice(longest / 30)))
    bins = math.ceil((longest + 1) / width)
    across = svg.Scale(0, bins * width, 0, 100)
    bottom = head + row * len(systems) - 8
    band = (across(target[0]), across(target[1] + 1))
    parts = [
        svg.tag(
            "rect",
            x=svg.percent(band[0]),
            y=head - 4,
            width=svg.percent(band[1] - band[0]),
            height=bottom - head + 4,
            class_="band",
        ),
        svg.text(f"wanted: {target[0]} to {target[1]}", (band[0] + band[1]) / 2, head - 9, "label", "middle"),
    ]
    for place, system in enumerate(systems):
        base = head + row * place + row - 14
        parts.append(
            svg.text(f"{wording.system(system.system)}: median {system.median:g}", 0, base - bars - 8, "name", "start")
        )
        parts += _bars(_histogram(system.words, width, bins), width, across, base, bars, system.system)
    ticks = [tick for tick in svg.ticks(0, bins * width, 6) if tick <= bins * width]
    parts += [
        svg.text(f"{tick:g}", across(tick), bottom + 14, "label", svg.anchor(across(tick), 0, 100)) for tick in ticks
    ]
    return svg.picture("Words per answer", _lengths_in_words(systems, target), bottom + 22, parts)


def ledger(found: Ledger) -> Markup:
    """One bar: the rows kept, and behind them the rows rejected, reason by reason."""
    parts, start = [], 0.0
    segments = [("kept", found.kept), *(("lost", count.rows) for count in found.rejected)]
    shown = [max(rows / max(found.rows_in, 1), 0.004) if rows else 0.0 for _, rows in segments]
    for (kind, _), share in zip(segments, shown, strict=True):
        width = 100 * share / max(sum(shown), 1e-9)
        parts.append(
            svg.tag(
                "rect",
                x=svg.percent(start),
                y=0,
                width=svg.percent(max(width - 0.25, 0.15 if width else 0)),
                height=22,
                class_=kind,
            )
        )
        start += width
    words = ", ".join(f"{count.name} {count.rows:,}" for count in found.rejected) or "none"
    return svg.picture(
        "Rows kept and rejected", f"{found.rows_in:,} rows in: {found.kept:,} kept; rejected: {words}.", 22, parts
    )


def interval(comparison: Comparison, *, higher_is_better: bool | None) -> Markup:
    """The interval of a difference beside the line of no difference; right of the line is better."""
    sign = -1 if higher_is_better is False else 1
    low, middle, high = (sign * value for value in (comparison.low, comparison.difference, comparison.high))
    reach = 1.12 * max(abs(low), abs(high), abs(middle)) or 1.0
    across = svg.Scale(-reach, reach, 0, 100)
    line = {"x1": svg.percent(across(low)), "x2": svg.percent(across(high)), "y1": 11, "y2": 11}
    parts = [
        svg.tag("line", x1="50%", x2="50%", y1=1, y2=21, class_="zero"),
        svg.tag("line", **line, class_="span"),
        svg.dot(across(middle), 11, 4.5, "middle"),
    ]
    return svg.tag(
        "svg", *parts, class_=f"interval {comparison.outcome.replace(' ', '-')}", height=22, aria_hidden="true"
    )


def _horizontal_grid(ticks: Sequence[float], down: svg.Scale) -> list[Markup]:
    labels = wording.figures(ticks) if max(abs(tick) for tick in ticks) >= 1e7 else [f"{tick:g}" for tick in ticks]
    drawn = []
    for tick, label in zip(ticks, labels, strict=True):
        y = round(down(tick), 1)
        drawn.append(svg.tag("line", x1=f"{LEFT}%", x2=f"{LEFT + WIDTH}%", y1=y, y2=y, class_="grid"))
        drawn.append(svg.text(label, LEFT - 1.2, y + 4, "label", "end"))
    return drawn


def _step_labels(last: int, across: svg.Scale, y: float) -> list[Markup]:
    ticks = [tick for tick in svg.ticks(0, last, 5) if tick <= last and tick == int(tick)]
    anchors = [svg.anchor(across(tick), LEFT, LEFT + WIDTH) for tick in ticks]
    labels = [f"step {tick:,.0f}" if tick == ticks[-1] and tick else f"{tick:,.0f}" for tick in ticks]
    return [
        svg.text(label, across(tick), y, "label", anchor)
        for label, tick, anchor in zip(labels, ticks, anchors, strict=True)
    ]


def _best(best: tuple[int, float], across: svg.Scale, down: svg.Scale) -> list[Markup]:
    x, y = across(best[0]), down(best[1])
    anchor = "end" if x > 70 else "start" if x < 25 else "middle"
    return [svg.dot(x, y, 7, "ring"), svg.text(f"best: {wording.figure(best[1])}", x, y - 14, "note", anchor)]


def _loss_in_words(curve: LossCurve) -> str:
    said = []
    for name, line in (("training", curve.smoothed), ("validation", curve.validation)):
        if line:
            (start, first), (end, last) = line[0], line[-1]
            before, after = wording.figures([first, last])
            said.append(f"{name} loss goes from {before} at step {start:,} to {after} at step {end:,}")
    best = f"; the best checkpoint is from step {curve.best[0]:,}" if curve.best else ""
    return f"{'; '.join(said)}{best}."


def _longest_shown(systems: Sequence[Lengths], target: tuple[int, int]) -> int:
    """Right end of the axis: nearly all answers fit; the few longest are counted in the last bar."""
    everything = sorted(words for system in systems for words in system.words)
    nearly_all = everything[min(len(everything) - 1, int(0.98 * len(everything)))]
    return max(nearly_all, round(1.25 * target[1]))


def _histogram(words: Sequence[int], width: int, bins: int) -> list[int]:
    counts = [0] * bins
    for number in words:
        counts[min(number // width, bins - 1)] += 1
    return counts


def _bars(counts: Sequence[int], width: int, across: svg.Scale, base: float, height: float, kind: str) -> list[Markup]:
    tallest = max(counts) or 1
    kind = "reference" if kind == "reference" else "system"
    drawn = [svg.tag("line", x1="0%", x2="100%", y1=base, y2=base, class_="axis")]
    for place, count in enumerate(counts):
        if count:
            tall = max(height * count / tallest, 2)
            left, right = across(place * width), across((place + 1) * width)
            drawn.append(svg.tag("rect", x=svg.percent(left), y=round(base - tall, 1), width=svg.percent((right - left) * 0.86),
                              height=round(tall, 1), class_=f"bar {kind}"))  # fmt: skip
    return drawn


def _lengths_in_words(systems: Sequence[Lengths], target: tuple[int, int]) -> str:
    said = (
        f"{wording.system(s.system)}: median {s.median:g} words, {s.in_target:.0%} in the wanted range" for s in systems
    )
    return f"{'; '.join(said)}. Wanted: {target[0]} to {target[1]} words."


def _path(points: Sequence[tuple[int, float]], across: svg.Scale, down: svg.Scale) -> str:
    return " ".join(
        f"{'L' if place else 'M'}{across(step):.1f},{down(loss):.1f}" for place, (step, loss) in enumerate(points)
    )
