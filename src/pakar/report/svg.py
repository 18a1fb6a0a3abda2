"""Pictures as inline SVG: colours come from the page's style sheet, so they follow its dark mode. Pure functions.

Places along the width are per cents and heights are pixels: a chart fills its column, on a phone too, and its letters
keep their size. What runs along a curve is drawn in an inner picture that is stretched.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from markupsafe import Markup, escape


def picture(title: str, description: str, height: int, parts: Iterable[Markup]) -> Markup:
    """A picture as wide as its column and `height` pixels high; title and description are for who cannot see it."""
    return tag(
        "svg",
        tag("title", title),
        tag("desc", description),
        *parts,
        role="img",
        width="100%",
        height=height,
        class_="chart",
    )


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """One element; names of attributes are written with `_` for `-` and `class_` for `class`."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{written}>{''.join(escape(child) for child in children)}</{name}>")  # noqa: S704 - all parts are escaped


def text(words: str, x: float, y: float, kind: str, anchor: str) -> Markup:
    """Words at `x` per cent and `y` pixels."""
    return tag("text", words, x=percent(x), y=round(y, 1), class_=kind, text_anchor=anchor)


def dot(x: float, y: float, radius: float, kind: str) -> Markup:
    """A filled circle at `x` per cent and `y` pixels."""
    return tag("circle", cx=percent(x), cy=round(y, 1), r=radius, class_=kind)


def anchor(x: float, left: float, right: float) -> str:
    """A label near an end of the axis is moved inwards, so that it stays in the picture."""
    return "start" if x - left < 1 else "end" if right - x < 5 else "middle"


class Scale:
    """A straight line from one range of numbers to another."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self._low, self._start = low, start
        self._slope = (end - start) / ((high - low) or 1.0)

    def __call__(self, value: float) -> float:
        """Where `value` lies."""
        return self._start + (value - self._low) * self._slope


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers that enclose the range, about so many."""
    step = nice(max(high - low, abs(high) * 1e-3, 1e-9) / about)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(place * step, 12) for place in range(first, max(last, first + 1) + 1)]


def nice(value: float) -> float:
    """The next number of the form 1, 2 or 5 times a power of ten.

    >>> nice(3.2), nice(0.07)
    (5.0, 0.1)
    """
    power = 10.0 ** math.floor(math.log10(value))
    return round(next(float(factor * power) for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-9)), 12)


def percent(value: float) -> str:
    """A place along the width, as SVG writes it."""
    return f"{value:.2f}%"
